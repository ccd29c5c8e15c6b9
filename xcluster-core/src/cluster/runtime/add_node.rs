//! One node of an open cluster, booted and stopped by itself. What it lacks in the cluster is added before; a boot that fails
//! is undone alone, and the cluster goes on.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::boot_node;
use super::prepare::{enough_memory, raise_fd_limit_for};
use super::state::State;
use super::step::StepError;
use super::teardown::{remove_node, remove_unplanned, stop_node};
use crate::cluster::error::{Error, leftovers};
use crate::cluster::status::NodeState;
use crate::name::NodeId;
use crate::plan::{NodeBoot, Plan, PlannedNet, PlannedNic, PlannedNode, Step};
use crate::topology::Problems;

/// Boots a node that does not run, and waits until it is ready, or until the caller does not wait any more.
pub(super) async fn boot(state: Rc<State>, what: NodeBoot, caller_left: oneshot::Receiver<()>) -> Result<(), Error> {
    let _lock = state.lock_node(what.node).await;
    if state.find_node(what.node).is_some_and(|node| node.runs()) {
        return Err(Error::Running(what.node));
    }
    // Of one that has ended by itself.
    leftovers(state.networks.tear_down_node(what.node, None).await)?;
    let booted = tokio::select! {
        biased;
        // The teardown that cancels this boot undoes it.
        () = state.ending() => return Err(Error::Ended),
        _ = caller_left => Err(AddError::Cancelled),
        booted = add_and_boot(&state, &what) => booted,
    };
    match booted {
        Ok(()) => Ok(()),
        Err(AddError::Invalid(problems)) => Err(Error::Invalid(problems)),
        Err(AddError::Failed(error)) => Err(undo_boot(&state, error).await),
        Err(AddError::Cancelled) => {
            if let Some(node) = state.find_node(what.node) {
                state.note_leftovers(stop_node(&state, &node).await);
            }
            state.note_leftovers(remove_unplanned(&state).await);
            let why = Some("cancelled while booting".to_owned());
            Err(Error::NotReady { node: what.node, state: NodeState::Stopped, why })
        }
    }
}

/// Why a node was not added or booted.
pub(super) enum AddError {
    /// It is not valid, and nothing was begun.
    Invalid(Problems),
    /// A step failed.
    Failed(StepError),
    /// The caller no longer wants it.
    Cancelled,
}

async fn add_and_boot(state: &Rc<State>, what: &NodeBoot) -> Result<(), AddError> {
    let planned = add(state, what).await?;
    let memory = u64::from(planned.node.memory);
    let node = state.renew_node(planned);
    let failed = |error: StepError| AddError::Failed(error.of(&node));
    enough_memory(memory)
        .map_err(|cause| failed(StepError { step: Step::Boot { node: what.node }, cause, node: None }))?;
    tokio::select! {
        biased;
        () = node.cancelled() => Err(AddError::Cancelled),
        booted = boot_node::boot(state.clone(), node.clone()) => booted.map_err(failed),
    }
}

/// Stops a node, running or booting, and removes its ports. Of one that does not run, what it left is removed.
pub(super) async fn stop(state: Rc<State>, id: NodeId) -> Result<(), Error> {
    // Before the lock, which the boot that this cancels holds.
    state.node(id)?.cancel();
    let _lock = state.lock_node(id).await;
    // Not the record that was cancelled, if the node was booted again meanwhile.
    let node = state.node(id)?;
    leftovers(stop_node(&state, &node).await)
}

/// Puts a node into the plan as it is to be, and makes what it needs in the cluster.
pub(super) async fn add(state: &State, what: &NodeBoot) -> Result<PlannedNode, AddError> {
    let _adding = state.lock_plan().await;
    let old = state.plan();
    let new = old.with_node(what, state.networks.backends()).map_err(AddError::Invalid)?;
    let planned = new.node(what.node).expect("it was put there").clone();
    extend(state, &old, &new, what.node).await.map_err(AddError::Failed)?;
    state.set_plan(new);
    Ok(planned)
}

/// Makes what the new plan has beyond the old one.
async fn extend(state: &State, old: &Plan, new: &Plan, node: NodeId) -> Result<(), StepError> {
    let nets: Vec<&PlannedNet> = new.nets.iter().filter(|net| old.net(net.net.id).is_none()).collect();
    let planned = |plan: &Plan| plan.node(node).map(|planned| planned.nics.clone()).unwrap_or_default();
    let (nics, known) = (planned(new), planned(old));
    let nics: Vec<&PlannedNic> = nics.iter().filter(|nic| !known.contains(nic)).collect();
    raise_fd_limit_for(new);
    if let (Some(netns), None) = (&new.netns, state.networks.namespace()) {
        state.networks.open_namespace(netns).await?;
    }
    state.networks.add(&nets, &nics).await
}

/// Undoes the boot of a node and says why it failed.
async fn undo_boot(state: &State, error: StepError) -> Error {
    // Without a node, nothing was begun except the additions.
    let begun = error.node.clone();
    let mut failure = error.into_start_failure(&state.events);
    if let Some(node) = begun {
        failure.leftovers = remove_node(state, &node).await;
    }
    failure.leftovers.extend(remove_unplanned(state).await);
    Error::Start(Arc::new(failure))
}
