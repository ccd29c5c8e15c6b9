//! The requests of handles and of other processes to a cluster. Every function runs on the cluster's thread.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::connect::connect as connect_to;
use super::qemu_instance::QemuInstance;
use super::state::State;
use super::{add_node, boot_node, port_setup, teardown};
use crate::cluster::console::Console;
use crate::cluster::error::{Error, leftovers};
use crate::cluster::status::{ClusterStatus, NamedPort, NodeStatus};
use crate::guest::Copied;
use crate::guest::exec::{Command, ExecError, Execution};
use crate::host::Netns;
use crate::host::namespace::NamespaceEntry;
use crate::name::{NetId, NodeId};
use crate::net::PortConfig;
use crate::plan::NodeBoot;

/// How long a connection to a node may take: it is to this host, or over one virtual net.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What [`namespace`] does, for its errors.
const ENTER: &str = "enter the cluster's network namespace";

pub(crate) async fn status(state: Rc<State>) -> Result<ClusterStatus, Error> {
    Ok(state.status())
}

/// Boots a node and waits until it is ready. The boot is cancelled when the other end of `caller_left` is dropped.
pub(crate) async fn boot(state: Rc<State>, what: NodeBoot, caller_left: oneshot::Receiver<()>) -> Result<(), Error> {
    state.progress().ready().await?;
    add_node::boot(state, what, caller_left).await
}

pub(crate) async fn stop_node(state: Rc<State>, node: NodeId) -> Result<(), Error> {
    state.progress().ready().await?;
    add_node::stop(state, node).await
}

/// Kills a node's QEMU, and returns when its end is reported.
pub(crate) async fn kill_node(state: Rc<State>, node: NodeId) -> Result<(), Error> {
    let record = state.node(node)?;
    let qemu = record.running()?;
    qemu.crash();
    boot_node::report_end(&state, &record, &qemu).await;
    Ok(())
}

pub(crate) async fn set_up_port(state: Rc<State>, node: NodeId, net: NetId) -> Result<PortConfig, Error> {
    state.progress().ready().await?;
    port_setup::set_up(state, node, net).await
}

pub(crate) async fn set_up_named_port(state: Rc<State>, node: NodeId, net: NetId) -> Result<NamedPort, Error> {
    state.progress().ready().await?;
    port_setup::set_up_named(state, node, net).await
}

pub(crate) async fn tear_down_port(state: Rc<State>, node: NodeId, net: NetId) -> Result<(), Error> {
    state.progress().ready().await?;
    port_setup::tear_down(state, node, net).await
}

/// Stops every node and removes everything.
pub(crate) async fn stop(state: Rc<State>) -> Result<(), Error> {
    leftovers(teardown::tear_down(&state).await)
}

pub(crate) async fn node_status(state: Rc<State>, node: NodeId) -> Result<NodeStatus, Error> {
    Ok(state.node(node)?.status())
}

pub(crate) async fn spawn(state: Rc<State>, node: NodeId, command: Command) -> Result<Execution, Error> {
    let agent = state.node(node)?.agent()?;
    Ok(agent.exec(&command).map_err(failed_on(node))?.on(node))
}

pub(crate) async fn copy_to(state: Rc<State>, node: NodeId, local: PathBuf, remote: PathBuf) -> Result<Copied, Error> {
    let agent = state.node(node)?.agent()?;
    agent.copy_in(&local, &remote).await.map_err(failed_on(node))
}

pub(crate) async fn copy_from(
    state: Rc<State>,
    node: NodeId,
    remote: PathBuf,
    local: PathBuf,
) -> Result<Copied, Error> {
    let agent = state.node(node)?.agent()?;
    agent.copy_out(&remote, &local).await.map_err(failed_on(node))
}

fn failed_on(node: NodeId) -> impl Fn(ExecError) -> Error {
    move |error| match error {
        // A file of the host is no fault of the node.
        ExecError::Host { what, source } => Error::Local { what, source },
        error => Error::Exec { node, error },
    }
}

pub(crate) async fn console(state: Rc<State>, node: NodeId) -> Result<Console, Error> {
    Ok(qemu(&state, node)?.console().join(node))
}

pub(crate) async fn console_text(state: Rc<State>, node: NodeId) -> Result<String, Error> {
    Ok(String::from_utf8_lossy(&qemu(&state, node)?.console().tail()).into_owned())
}

pub(crate) async fn qemu_messages(state: Rc<State>, node: NodeId) -> Result<String, Error> {
    Ok(qemu(&state, node)?.stderr())
}

/// A node's QEMU, running or ended.
fn qemu(state: &State, node: NodeId) -> Result<Rc<QemuInstance>, Error> {
    let node = state.node(node)?;
    node.qemu().ok_or_else(|| node.not_ready())
}

pub(crate) async fn address(state: Rc<State>, node: NodeId, port: u16) -> Result<Option<SocketAddr>, Error> {
    Ok(state.node(node)?.address(port))
}

/// Connects to a TCP port of a node. The stream blocks.
pub(crate) async fn connect(state: Rc<State>, node: NodeId, port: u16) -> Result<TcpStream, Error> {
    let failed = |source| Error::Connect { node, port, source };
    let record = state.node(node)?;
    record.running()?;
    let connect = connect_to(&state.networks, &record, port);
    let stream = timeout(CONNECT_TIMEOUT, connect).await.map_err(|error| failed(error.into()))?;
    let stream = stream.and_then(tokio::net::TcpStream::into_std).map_err(failed)?;
    stream.set_nonblocking(false).map_err(failed)?;
    Ok(stream)
}

pub(crate) async fn qmp(
    state: Rc<State>,
    node: NodeId,
    command: String,
    arguments: serde_json::Value,
) -> Result<serde_json::Value, Error> {
    let record = state.node(node)?;
    let monitor = record.running()?.qmp().ok_or_else(|| record.not_ready())?;
    monitor.execute(&command, arguments).await.map_err(|error| Error::Monitor { node, error })
}

/// How to enter the cluster's network namespace; none if it has no namespace of its own.
pub(crate) async fn namespace(state: Rc<State>) -> Result<Option<NamespaceEntry>, Error> {
    let namespace = match (state.networks.namespace(), &state.plan().netns) {
        (Some(namespace), _) => namespace,
        (None, None | Some(Netns::Here)) => return Ok(None),
        (None, Some(_)) => return Err(Error::io(ENTER, io::Error::other("it is not made yet"))),
    };
    namespace.inside().map_err(|error| Error::io(ENTER, error))
}
