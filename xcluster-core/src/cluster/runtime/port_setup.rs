//! A port of an open cluster, set up for a QEMU that is not the cluster's: with descriptors for this process, by names for any
//! other. What runs there is not known here.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use super::add_node::{AddError, add};
use super::state::State;
use super::step::StepError;
use super::teardown::remove_unplanned;
use crate::cluster::error::{Cause, Error, leftovers};
use crate::cluster::status::NamedPort;
use crate::host::keep_tap;
use crate::name::{NetId, NodeId};
use crate::net::{PortConfig, by_name};
use crate::plan::{NodeBoot, PlannedNic, Step};

/// Sets up a port; a NIC that the plan does not have yet is added after the node's others.
pub(super) async fn set_up(state: Rc<State>, node: NodeId, net: NetId) -> Result<PortConfig, Error> {
    let _lock = state.lock_node(node).await;
    set_up_locked(&state, node, net).await
}

/// The same, with args that refer to nothing of this process. A repeated call answers what the first one did.
pub(super) async fn set_up_named(state: Rc<State>, node: NodeId, net: NetId) -> Result<NamedPort, Error> {
    let _lock = state.lock_node(node).await;
    if let Some(known) = state.networks.named(node, net) {
        return Ok(known);
    }
    let config = set_up_locked(&state, node, net).await?;
    match named(&config) {
        Ok(named) => {
            state.networks.keep_named(node, net, named.clone());
            Ok(named)
        }
        Err(cause) => {
            let backend = state.plan().net(net).map(|planned| planned.backend.clone()).unwrap_or_default();
            let error = StepError { step: Step::Setup { node, net, backend }, cause, node: None };
            Err(undo(&state, error, node, net).await)
        }
    }
}

/// Tears down a port, if it is set up.
pub(super) async fn tear_down(state: Rc<State>, node: NodeId, net: NetId) -> Result<(), Error> {
    let _lock = state.lock_node(node).await;
    must_not_run(&state, node)?;
    leftovers(state.networks.tear_down_node(node, Some(net)).await)
}

fn must_not_run(state: &State, node: NodeId) -> Result<(), Error> {
    if state.find_node(node).is_some_and(|node| node.runs()) { Err(Error::Running(node)) } else { Ok(()) }
}

async fn set_up_locked(state: &State, node: NodeId, net: NetId) -> Result<PortConfig, Error> {
    must_not_run(state, node)?;
    let setup = async {
        let nic = planned(state, node, net).await?;
        state.networks.set_up(&nic, |_| Ok(())).await.map_err(AddError::Failed)
    };
    let config = tokio::select! {
        biased;
        // The teardown that cancels this setup undoes it.
        () = state.ending() => return Err(Error::Ended),
        config = setup => config,
    };
    match config {
        Ok(config) => Ok(config),
        Err(AddError::Invalid(problems)) => Err(Error::Invalid(problems)),
        Err(AddError::Cancelled) => Err(Error::Ended),
        Err(AddError::Failed(error)) => Err(undo(state, error, node, net).await),
    }
}

/// The NIC as it is planned, in a plan that has it.
async fn planned(state: &State, node: NodeId, net: NetId) -> Result<PlannedNic, AddError> {
    let find = || {
        let plan = state.plan();
        plan.node(node).and_then(|planned| planned.nics.iter().find(|nic| nic.port.net.id == net).cloned())
    };
    if let Some(nic) = find() {
        return Ok(nic);
    }
    let what = NodeBoot::new(node);
    let as_usual = state.plan().with_node(&what, state.networks.backends());
    let as_usual = as_usual.map_err(AddError::Invalid)?;
    let mut nets = as_usual.node(node).map(|planned| planned.node.nets.clone()).unwrap_or_default();
    if !nets.contains(&net) {
        nets.push(net);
    }
    let planned = add(state, &what.nets(nets)).await?;
    state.renew_node(planned);
    Ok(find().expect("it was put there"))
}

async fn undo(state: &State, error: StepError, node: NodeId, net: NetId) -> Error {
    let mut failure = error.into_start_failure(&state.events);
    failure.leftovers = state.networks.tear_down_node(node, Some(net)).await;
    failure.leftovers.extend(remove_unplanned(state).await);
    Error::Start(Arc::new(failure))
}

/// Lets taps keep their names, by which another process can open them.
fn named(config: &PortConfig) -> Result<NamedPort, Cause> {
    let taps = by_name::taps(&config.kvm).map_err(Cause::NotByName)?;
    let mut args = config.kvm.args().to_vec();
    for tap in &taps {
        let queues: Vec<&OwnedFd> =
            tap.queues.iter().filter_map(|name| config.kvm.descriptors().get(name)).map(|fd| &**fd).collect();
        let name = keep_tap(&queues).map_err(|error| Cause::io("let a tap keep its name", error))?;
        args = by_name::named(args, tap, &name);
    }
    tracing::debug!(?args, "a port is set up by name");
    Ok(NamedPort { args, access: config.access.clone() })
}
