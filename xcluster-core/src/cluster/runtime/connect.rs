//! How the host reaches a TCP port of a node, with every backend: by an address of the host, from within the cluster's
//! network namespace, or by a forward that QEMU adds for the purpose.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};

use super::networks::Networks;
use super::node_state::NodeRecord;

/// Connects to a TCP port of a node. The deadline is the caller's.
///
/// # Errors
/// The connection is refused; `AddrNotAvailable` if the host has no access to the node.
pub(super) async fn connect(networks: &Networks, node: &Rc<NodeRecord>, port: u16) -> io::Result<TcpStream> {
    if let Some(address) = node.address(port) {
        return TcpStream::connect(address).await;
    }
    if let (Some(address), Some(namespace)) = (node.address_inside(port), networks.namespace()) {
        return namespace.connect(address).await;
    }
    match node.forwarder() {
        Some(netdev) => {
            let node = node.clone();
            // In a task of its own: a caller that is cancelled must not leave a forward behind.
            let connecting = tokio::task::spawn_local(async move { by_forward(&node, &netdev, port).await });
            connecting.await.unwrap_or_else(|broken| Err(io::Error::other(broken)))
        }
        None => Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no backend lets this host reach the node")),
    }
}

/// Lets QEMU forward a port of the loopback for as long as it takes to connect.
async fn by_forward(node: &NodeRecord, netdev: &str, port: u16) -> io::Result<TcpStream> {
    let reserved = TcpSocket::new_v4()?;
    // QEMU sets the same option, so that it can bind the port while it is reserved.
    reserved.set_reuseaddr(true)?;
    reserved.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let host = reserved.local_addr()?;
    let guest = node.planned().nics.iter().find(|nic| nic.port.netdev() == netdev).map(|nic| nic.port.ipv4());
    let guest = guest.map(|ip| ip.to_string()).unwrap_or_default();
    monitor(node, &format!("hostfwd_add {netdev} tcp:{host}-{guest}:{port}")).await?;
    let connected = TcpStream::connect(host).await;
    // An established connection stays.
    if let Err(error) = monitor(node, &format!("hostfwd_remove {netdev} tcp:{host}")).await {
        tracing::warn!(%error, "a forward stays until the node ends");
    }
    connected
}

/// Runs a command of QEMU's human monitor: QMP has none for forwards.
async fn monitor(node: &NodeRecord, line: &str) -> io::Result<()> {
    let qemu = node.running().map_err(io::Error::other)?;
    let monitor = qemu.qmp().ok_or(io::ErrorKind::NotConnected)?;
    let answer = monitor.execute("human-monitor-command", json!({ "command-line": line })).await;
    let answer = answer.map_err(io::Error::other)?;
    match answer.as_str().map(str::trim) {
        None | Some("") => Ok(()),
        Some(said) if said.ends_with("removed") => Ok(()),
        Some(said) => Err(io::Error::other(format!("QEMU answers `{said}` to `{line}`"))),
    }
}
