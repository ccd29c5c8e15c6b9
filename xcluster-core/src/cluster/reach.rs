//! How the host gets at a TCP port of a node, whichever backend wires it: by an address of the host, from within the
//! cluster's network namespace, or by a forward that QEMU adds for the purpose. Knows nothing of what is said there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};

use super::node_cell::NodeCell;
use super::state::State;

/// Connects to a TCP port of a node. How long that may take is for the caller to say.
///
/// # Errors
/// Nobody accepts there; `AddrNotAvailable` if there is no way at all.
pub(super) async fn connect(state: &State, node: &Rc<NodeCell>, port: u16) -> io::Result<TcpStream> {
    if let Some(address) = node.address(port) {
        return TcpStream::connect(address).await;
    }
    let inside = node.access.borrow().iter().find_map(|access| access.tcp_inside(port));
    if let (Some(address), Some(namespace)) = (inside, state.namespace.get()) {
        return namespace.connect(address).await;
    }
    let forwarder = node.forwarders.borrow().first().cloned();
    match forwarder {
        Some(netdev) => {
            let node = node.clone();
            // In a task of its own: a caller who gives up must not leave a forward behind.
            let connecting = tokio::task::spawn_local(async move { by_forward(&node, &netdev, port).await });
            connecting.await.unwrap_or_else(|broken| Err(io::Error::other(broken)))
        }
        None => Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no backend lets this host reach the node")),
    }
}

/// Has QEMU forward a port of the loopback for as long as it takes to connect.
async fn by_forward(node: &NodeCell, netdev: &str, port: u16) -> io::Result<TcpStream> {
    let reserved = TcpSocket::new_v4()?;
    // As QEMU does, which for that reason may bind it as well.
    reserved.set_reuseaddr(true)?;
    reserved.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let host = reserved.local_addr()?;
    let guest = node.planned.nics.iter().find(|nic| nic.port.netdev() == netdev).map(|nic| nic.port.ipv4());
    let guest = guest.map(|ip| ip.to_string()).unwrap_or_default();
    monitor(node, &format!("hostfwd_add {netdev} tcp:{host}-{guest}:{port}")).await?;
    let connected = TcpStream::connect(host).await;
    // A connection that is there stays.
    if let Err(error) = monitor(node, &format!("hostfwd_remove {netdev} tcp:{host}")).await {
        tracing::warn!(%error, "a forward stays until the node ends");
    }
    connected
}

/// Gives QEMU a line of the monitor for people, which is the only one that knows of forwards.
async fn monitor(node: &NodeCell, line: &str) -> io::Result<()> {
    let machine = node.running().map_err(io::Error::other)?;
    let monitor = machine.qmp().ok_or(io::ErrorKind::NotConnected)?;
    let answer = monitor.execute("human-monitor-command", json!({ "command-line": line })).await;
    let answer = answer.map_err(io::Error::other)?;
    match answer.as_str().map(str::trim) {
        None | Some("") => Ok(()),
        Some(said) if said.ends_with("removed") => Ok(()),
        Some(said) => Err(io::Error::other(format!("QEMU answers `{said}` to `{line}`"))),
    }
}
