//! One node of an open cluster, booted and stopped by itself. What it lacks of the cluster is added before; what fails is
//! undone alone, and the cluster goes on.

use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::boot::boot as bring_up;
use super::error::Error;
use super::event::Event;
use super::node_cell::NodeCell;
use super::prepare::{enough_memory, raise_fd_limit_for};
use super::start::{Failed, ask, create, open_netns, step, told};
use super::state::State;
use super::status::NodeState;
use super::undo::{kill, undo_node, undo_strays};
use crate::name::NodeId;
use crate::plan::{NodeBoot, Plan, PlannedNet, PlannedNic, PlannedNode, Step};
use crate::topology::Problems;

/// Boots a node that does not run, and waits until it is ready, or until nobody is interested any more.
pub(super) async fn boot(state: Rc<State>, what: NodeBoot, nobody_waits: oneshot::Receiver<()>) -> Result<(), Error> {
    let _turn = state.turn.read().await;
    let turn = state.turn_of(what.node);
    let _node_turn = turn.lock().await;
    if state.find_node(what.node).is_some_and(|node| node.runs()) {
        return Err(Error::Running(what.node));
    }
    // Of one that has ended by itself.
    let leftovers = undo_node(&state, what.node).await;
    if !leftovers.is_empty() {
        return Err(Error::Leftovers(leftovers));
    }
    let booted = tokio::select! {
        biased;
        // Then everything is undone.
        () = state.ends() => return Err(Error::Ended),
        _ = nobody_waits => Err(NotBooted::CalledOff),
        booted = add_and_boot(&state, &what) => booted,
    };
    match booted {
        Ok(()) => Ok(()),
        Err(NotBooted::Invalid(problems)) => Err(Error::Invalid(problems)),
        Err(NotBooted::Failed(failed)) => Err(give_up(&state, failed, what.node).await),
        Err(NotBooted::CalledOff) => {
            call_off(&state, what.node).await;
            let why = Some("it was told to while it booted".to_owned());
            Err(Error::NotReady { node: what.node, state: NodeState::Stopped, why })
        }
    }
}

/// Why a node was not booted.
pub(super) enum NotBooted {
    /// It cannot be as asked, and nothing was begun.
    Invalid(Problems),
    /// A step failed.
    Failed(Failed),
    /// Nobody wants it any more.
    CalledOff,
}

async fn add_and_boot(state: &Rc<State>, what: &NodeBoot) -> Result<(), NotBooted> {
    let planned = add(state, what).await?;
    let memory = u64::from(planned.node.memory);
    let node = state.renew_node(planned);
    let failed = |failed: Failed| NotBooted::Failed(Failed { node: Some(node.clone()), ..failed });
    enough_memory(memory)
        .map_err(|cause| failed(Failed { step: Step::Boot { node: what.node }, cause, node: None }))?;
    tokio::select! {
        biased;
        () = node.called_off() => Err(NotBooted::CalledOff),
        booted = bring_up(state.clone(), node.clone()) => booted.map_err(failed),
    }
}

/// Ends a node, running or booting, and what is wired for it. Of one that does not run nothing is left afterwards either.
pub(super) async fn stop(state: Rc<State>, id: NodeId) -> Result<(), Error> {
    let _turn = state.turn.read().await;
    state.node(id)?.call_off();
    let turn = state.turn_of(id);
    let _node_turn = turn.lock().await;
    // Not who was called off, if somebody has booted it again meanwhile.
    let node = state.node(id)?;
    let leftovers = end(&state, &node).await;
    if leftovers.is_empty() { Ok(()) } else { Err(Error::Leftovers(leftovers)) }
}

/// Ends a node and undoes what is wired for it. Returns what could not be undone.
async fn end(state: &State, node: &NodeCell) -> Vec<String> {
    node.call_off();
    let ran = node.machine.borrow().is_some() && node.state.get() != NodeState::Stopped;
    let mut leftovers = kill(node).await;
    if leftovers.is_empty() {
        leftovers = undo_node(state, node.id()).await;
        node.unwired();
    }
    if ran {
        node.state.set(NodeState::Stopped);
        node.reason.take();
        state.events.note(Event::NodeStopped { node: node.id() });
    }
    leftovers
}

/// Has the node in the plan as it is to be, and what it needs in the cluster.
pub(super) async fn add(state: &Rc<State>, what: &NodeBoot) -> Result<PlannedNode, NotBooted> {
    let _adding = state.adding.lock().await;
    let old = state.plan();
    let new = old.with_node(what, &state.backends).map_err(NotBooted::Invalid)?;
    let planned = new.node(what.node).expect("it was put there").clone();
    extend(state, &old, &new, what.node).await.map_err(NotBooted::Failed)?;
    state.plan.send_replace(Arc::new(new));
    Ok(planned)
}

/// Makes what the new plan has beyond the old one.
async fn extend(state: &Rc<State>, old: &Plan, new: &Plan, node: NodeId) -> Result<(), Failed> {
    let nets: Vec<&PlannedNet> = new.nets.iter().filter(|net| old.net(net.net.id).is_none()).collect();
    let planned = |plan: &Plan| plan.node(node).map(|planned| planned.nics.clone()).unwrap_or_default();
    let (nics, known) = (planned(new), planned(old));
    let nics: Vec<&PlannedNic> = nics.iter().filter(|nic| !known.contains(nic)).collect();
    raise_fd_limit_for(new);
    if let (Some(netns), None) = (&new.netns, state.namespace.get()) {
        step(state, Step::Netns { netns: netns.clone() }, open_netns(state, netns)).await?;
    }
    // From here on something may be there: a host lock of a backend's.
    nets.iter().for_each(|net| state.undo.borrow_mut().net(&net.backend, &net.net));
    ask(state, &nets, &nics).await?;
    create(state, &nets).await
}

/// Undoes the boot of a node and says why it failed.
async fn give_up(state: &Rc<State>, failed: Failed, id: NodeId) -> Error {
    // Without one nothing of it was begun, but what it was to be added with.
    let begun = failed.node.clone();
    let mut failure = told(state, failed);
    if let Some(node) = begun {
        node.call_off();
        failure.leftovers = kill(&node).await;
        if failure.leftovers.is_empty() {
            failure.leftovers = undo_node(state, id).await;
            node.unwired();
        }
    }
    failure.leftovers.extend(undo_additions(state).await);
    Error::Start(Arc::new(failure))
}

/// Undoes the boot of a node that nobody wants any more. What could not be undone is told of.
async fn call_off(state: &Rc<State>, id: NodeId) {
    let mut leftovers = match state.find_node(id) {
        Some(node) => end(state, &node).await,
        None => Vec::new(),
    };
    leftovers.extend(undo_additions(state).await);
    for leftover in leftovers {
        state.events.note(Event::Note { text: format!("not removed: {leftover}") });
    }
}

/// Undoes what did not get into the plan, once nobody else adds to it.
pub(super) async fn undo_additions(state: &State) -> Vec<String> {
    let _adding = state.adding.lock().await;
    undo_strays(state).await
}
