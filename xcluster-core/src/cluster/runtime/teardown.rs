//! The teardown of a node or of the cluster, whole or half-started: in reverse order. It collects errors and goes on.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::node_state::NodeRecord;
use super::state::State;
use crate::cluster::error::{self, Error};
use crate::cluster::event::Event;
use crate::cluster::status::NodeState;

/// How long a killed process may take to go: one that waits for a broken disk or driver never does.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes the cluster down for good, and publishes that.
pub(super) async fn end(state: &State) -> Result<(), Error> {
    let leftovers = tear_down(state).await;
    state.events.note(Event::Stopped);
    state.set_stopped(leftovers.clone());
    error::leftovers(leftovers)
}

/// Stops every node and removes every port and net. Returns what could not be removed, for people. A second call does
/// nothing, but waits for the first.
pub(super) async fn tear_down(state: &State) -> Vec<String> {
    let _lock = state.lock_teardown().await;
    let nodes = state.all_nodes();
    let mut leftovers: Vec<String> = join_all(nodes.iter().map(|node| kill(node))).await.concat();
    leftovers.extend(state.networks.tear_down().await);
    leftovers
}

/// Stops a node, running or booting, and removes its ports. Returns what could not be removed.
pub(super) async fn stop_node(state: &State, node: &NodeRecord) -> Vec<String> {
    let ran = node.qemu().is_some() && node.state() != NodeState::Stopped;
    let leftovers = remove_node(state, node).await;
    if ran {
        node.set_stopped();
        state.events.note(Event::NodeStopped { node: node.id() });
    }
    leftovers
}

/// Kills a node and removes its ports. Returns what could not be removed.
pub(super) async fn remove_node(state: &State, node: &NodeRecord) -> Vec<String> {
    node.cancel();
    let mut leftovers = kill(node).await;
    if leftovers.is_empty() {
        leftovers = state.networks.tear_down_node(node.id(), None).await;
        node.clear_ports();
    }
    leftovers
}

/// Kills a node's QEMU. Returns what is left, if it does not end.
async fn kill(node: &NodeRecord) -> Vec<String> {
    if let Some(qemu) = node.qemu()
        && timeout(KILL_TIMEOUT, qemu.kill()).await.is_err()
    {
        return vec![format!("{}: QEMU, process {}, does not end", node.id(), qemu.pid())];
    }
    node.set_killed();
    Vec::new()
}

/// Deletes the nets that did not get into the plan, once no other request adds to it. Returns what could not be removed.
pub(super) async fn remove_unplanned(state: &State) -> Vec<String> {
    let _adding = state.lock_plan().await;
    state.networks.delete_unplanned(&state.plan()).await
}

impl State {
    /// Reports what could not be removed, where no caller waits for it.
    pub(super) fn note_leftovers(&self, leftovers: Vec<String>) {
        for leftover in leftovers {
            self.events.note(Event::Note { text: format!("not removed: {leftover}") });
        }
    }
}
