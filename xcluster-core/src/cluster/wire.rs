//! A NIC of an open cluster, wired for a QEMU that is not the cluster's: with descriptors for this process, by names for any
//! other. What runs there is not known here.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::boot::set_up;
use super::error::{Cause, Error};
use super::single::{NotBooted, add, undo_additions};
use super::start::{Failed, step, told};
use super::state::State;
use super::undo::undo_port;
use crate::host::keep_tap;
use crate::name::{NetId, NodeId};
use crate::net::{HostAccess, PortConfig, by_name};
use crate::plan::{NodeBoot, PlannedNic, Step};

/// A NIC that is wired for a QEMU that somebody else starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WiredByName {
    /// The args for QEMU, which must run in the cluster's network namespace, if it has one.
    pub args: Vec<String>,
    /// How the host reaches the node's TCP ports over the NIC.
    pub access: HostAccess,
}

/// Wires a NIC; one that the plan does not have yet is added after the node's others.
pub(super) async fn wire(state: Rc<State>, node: NodeId, net: NetId) -> Result<PortConfig, Error> {
    let _turn = state.turn.read().await;
    let turn = state.turn_of(node);
    let _node_turn = turn.lock().await;
    wire_now(&state, node, net).await
}

/// The same, with args that refer to nothing of this process. A repeated call answers what the first one did.
pub(super) async fn wire_by_name(state: Rc<State>, node: NodeId, net: NetId) -> Result<WiredByName, Error> {
    let _turn = state.turn.read().await;
    let turn = state.turn_of(node);
    let _node_turn = turn.lock().await;
    if let Some(known) = state.by_name.borrow().get(&(node, net)) {
        return Ok(known.clone());
    }
    let port_config = wire_now(&state, node, net).await?;
    match named(&port_config) {
        Ok(named) => {
            state.by_name.borrow_mut().insert((node, net), named.clone());
            Ok(named)
        }
        Err(cause) => {
            let backend = state.plan().net(net).map(|planned| planned.backend.clone()).unwrap_or_default();
            Err(give_up(&state, net, Failed { step: Step::Setup { node, net, backend }, cause, node: None }, node)
                .await)
        }
    }
}

/// Undoes the setup of a port, if there is one.
pub(super) async fn unwire(state: Rc<State>, node: NodeId, net: NetId) -> Result<(), Error> {
    let _turn = state.turn.read().await;
    let turn = state.turn_of(node);
    let _node_turn = turn.lock().await;
    idle(&state, node)?;
    match undo_port(&state, node, net).await {
        leftovers if leftovers.is_empty() => Ok(()),
        leftovers => Err(Error::Leftovers(leftovers)),
    }
}

fn idle(state: &State, node: NodeId) -> Result<(), Error> {
    if state.find_node(node).is_some_and(|node| node.runs()) { Err(Error::Running(node)) } else { Ok(()) }
}

async fn wire_now(state: &Rc<State>, node: NodeId, net: NetId) -> Result<PortConfig, Error> {
    idle(state, node)?;
    let wiring = async {
        let nic = planned(state, node, net).await?;
        let setup = Step::Setup { node, net, backend: nic.backend.clone() };
        step(state, setup, set_up(state, &nic)).await.map_err(NotBooted::Failed)
    };
    let port_config = tokio::select! {
        biased;
        // Then everything is undone.
        () = state.ends() => return Err(Error::Ended),
        port_config = wiring => port_config,
    };
    match port_config {
        Ok(port_config) => Ok(port_config),
        Err(NotBooted::Invalid(problems)) => Err(Error::Invalid(problems)),
        Err(NotBooted::CalledOff) => Err(Error::Ended),
        Err(NotBooted::Failed(failed)) => Err(give_up(state, net, failed, node).await),
    }
}

/// The NIC as it is planned, in a plan that has it.
async fn planned(state: &Rc<State>, node: NodeId, net: NetId) -> Result<PlannedNic, NotBooted> {
    let find = || {
        let plan = state.plan();
        plan.node(node).and_then(|planned| planned.nics.iter().find(|nic| nic.port.net.id == net).cloned())
    };
    if let Some(nic) = find() {
        return Ok(nic);
    }
    let what = NodeBoot::new(node);
    let as_usual = state.plan().with_node(&what, &state.backends);
    let as_usual = as_usual.map_err(NotBooted::Invalid)?;
    let mut nets = as_usual.node(node).map(|planned| planned.node.nets.clone()).unwrap_or_default();
    if !nets.contains(&net) {
        nets.push(net);
    }
    let planned = add(state, &what.nets(nets)).await?;
    state.renew_node(planned);
    Ok(find().expect("it was put there"))
}

async fn give_up(state: &Rc<State>, net: NetId, failed: Failed, node: NodeId) -> Error {
    let mut failure = told(state, failed);
    failure.leftovers = undo_port(state, node, net).await;
    failure.leftovers.extend(undo_additions(state).await);
    Error::Start(Arc::new(failure))
}

/// Has taps keep their names, by which another process can open them.
fn named(port_config: &PortConfig) -> Result<WiredByName, Cause> {
    let taps = by_name::taps(&port_config.kvm).map_err(Cause::NotByName)?;
    let mut args = port_config.kvm.args().to_vec();
    for tap in &taps {
        let queues: Vec<&OwnedFd> =
            tap.queues.iter().filter_map(|name| port_config.kvm.descriptors().get(name)).map(|fd| &**fd).collect();
        let name = keep_tap(&queues).map_err(|error| Cause::io("have a tap keep its name", error))?;
        args = by_name::named(args, tap, &name);
    }
    tracing::debug!(?args, "wired by name");
    Ok(WiredByName { args, access: port_config.access.clone() })
}
