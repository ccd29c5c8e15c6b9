//! Taking a cluster down, whole or half-started: everything that was begun is undone, in reverse; what goes wrong is
//! collected and the rest is done all the same.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use tokio::time::timeout;

use super::error::Error;
use super::node_cell::NodeCell;
use super::state::State;
use super::status::NodeState;
use crate::name::{NetId, NodeId};
use crate::net::{Net, NetError, Port};

/// What was begun, and by which backend.
#[derive(Debug, Default)]
pub(super) struct Undo {
    nets: Vec<(String, Net)>,
    ports: Vec<(String, Port)>,
}

impl Undo {
    /// A net is about to be made.
    pub(super) fn net(&mut self, backend: &str, net: &Net) {
        if !self.nets.iter().any(|(_, begun)| begun.id == net.id) {
            self.nets.push((backend.to_owned(), net.clone()));
        }
    }

    /// The ports that are `meant`, which somebody else undoes.
    fn take_ports(&mut self, meant: impl Fn(&Port) -> bool) -> Vec<(String, Port)> {
        self.ports.extract_if(.., |(_, port)| meant(port)).collect()
    }

    /// The nets that are `meant`, which somebody else undoes.
    fn take_nets(&mut self, meant: impl Fn(&Net) -> bool) -> Vec<(String, Net)> {
        self.nets.extract_if(.., |(_, net)| meant(net)).collect()
    }

    /// A port is about to be wired.
    pub(super) fn port(&mut self, backend: &str, port: &Port) {
        if !self.ports.iter().any(|(_, begun)| begun == port) {
            self.ports.push((backend.to_owned(), port.clone()));
        }
    }
}

/// How long a killed process may take to go: one that waits for a broken disk or driver never does.
const DEATH: Duration = Duration::from_secs(10);

/// Stops every node and undoes every wiring. Returns what could not be undone, for people. Doing it again does nothing,
/// but waits for who does it already.
pub(super) async fn take_down(state: &Rc<State>) -> Vec<String> {
    state.ending.send_replace(true);
    let _turn = state.turn.write().await;
    let nodes = state.all_nodes();
    let mut leftovers: Vec<String> = join_all(nodes.iter().map(|node| kill(node))).await.concat();

    let uplink = state.uplink.borrow_mut().take();
    if let Some((close, closed)) = uplink {
        drop(close);
        // An error means that it broke off, and with it what it owned.
        let _ = closed.await;
    }
    let Undo { nets, ports } = state.undo.take();
    leftovers.extend(unwire(state, &ports).await);
    leftovers.extend(unmake(state, &nets).await);
    // There is nobody left who could try again.
    state.undo.take();
    leftovers
}

/// Undoes what a single node has, once its QEMU is gone. Returns what could not be undone.
pub(super) async fn undo_node(state: &State, node: NodeId) -> Vec<String> {
    let ports = state.undo.borrow_mut().take_ports(|port| port.node == node);
    unwire(state, &ports).await
}

/// Undoes a single NIC. Returns what could not be undone.
pub(super) async fn undo_port(state: &State, node: NodeId, net: NetId) -> Vec<String> {
    let ports = state.undo.borrow_mut().take_ports(|port| port.node == node && port.net.id == net);
    unwire(state, &ports).await
}

/// Undoes the nets that were begun and did not get into the plan. Returns what could not be undone.
pub(super) async fn undo_strays(state: &State) -> Vec<String> {
    let plan = state.plan();
    let strays = state.undo.borrow_mut().take_nets(|net| plan.net(net.id).is_none());
    unmake(state, &strays).await
}

/// Undoes ports, the last one first.
async fn unwire(state: &State, ports: &[(String, Port)]) -> Vec<String> {
    let (context, mut leftovers) = (state.context(), Vec::new());
    for (name, port) in ports.iter().rev() {
        state.by_name.borrow_mut().remove(&(port.node, port.net.id));
        if let Ok(backend) = state.backends.find(name)
            && let Err(why) = outcome(backend.teardown(&context, port)).await
        {
            // Whoever stops the node again is to undo it, and at the latest the end of the cluster.
            state.undo.borrow_mut().port(name, port);
            leftovers.push(format!("{} on net {}: {why}", port.node, port.net.id));
        }
    }
    leftovers
}

/// Undoes nets, the last one first.
async fn unmake(state: &State, nets: &[(String, Net)]) -> Vec<String> {
    let (context, mut leftovers) = (state.context(), Vec::new());
    for (name, net) in nets.iter().rev() {
        if let Ok(backend) = state.backends.find(name)
            && let Err(why) = outcome(backend.delete_net(&context, net)).await
        {
            state.undo.borrow_mut().net(name, net);
            leftovers.push(format!("net {}: {why}", net.id));
        }
    }
    leftovers
}

/// Kills a node's QEMU. Returns what is left, if it does not go.
pub(super) async fn kill(node: &NodeCell) -> Vec<String> {
    let machine = node.machine.borrow().clone();
    if let Some(machine) = machine
        && timeout(DEATH, machine.kill()).await.is_err()
    {
        return vec![format!("{}: QEMU, process {}, does not end", node.id(), machine.pid())];
    }
    if node.state.get() != NodeState::Failed {
        node.state.set(NodeState::Stopped);
    }
    Vec::new()
}

/// How a backend's work went, also if it panicked: the rest is to be undone all the same.
async fn outcome(work: impl Future<Output = Result<(), NetError>>) -> Result<(), String> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result.map_err(|error| chain(&error)),
        Err(panic) => Err(format!("a panic: {}", message(panic.as_ref()))),
    }
}

/// The end of a cluster, ordered by its owner.
pub(super) async fn stop(state: Rc<State>) -> Result<(), Error> {
    let leftovers = take_down(&state).await;
    if leftovers.is_empty() { Ok(()) } else { Err(Error::Leftovers(leftovers)) }
}

/// An error with its causes on one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// What somebody's panic said.
pub(super) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("without a word").to_owned()
}
