//! The order of a start: open the cluster, which asks every backend, prepares and makes the nets; then boot the nodes side by
//! side. At the first failure everything is cancelled and undone.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::boot_node::boot;
use super::prepare::prepare;
use super::state::{Phase, State};
use super::step::{StepError, step};
use super::teardown::tear_down;
use crate::cluster::error::StartFailure;
use crate::cluster::event::Event;
use crate::cluster::status::NodeState;
use crate::plan::{PlannedNet, PlannedNic, Step};

/// How often to see whether the cluster's folder is still there. It is polled, since inotify(7) reports nothing of a folder
/// above that was renamed, and a user has only 128 of its instances.
const FOLDER_CHECK: Duration = Duration::from_secs(1);

/// How often to mark the folder as in use.
const FOLDER_REFRESH: Duration = Duration::from_secs(60 * 60);

/// Opens the cluster in a task of its own, and starts `all` nodes or none.
pub(crate) fn start(state: &Rc<State>, all: bool) {
    tokio::task::spawn_local(watch_folder(state.clone()));
    let state = state.clone();
    tokio::task::spawn_local(async move {
        let outcome = {
            let _lock = state.lock_start().await;
            tokio::select! {
                biased;
                // The teardown that cancels this start undoes it.
                () = state.ending() => return,
                outcome = open_and_boot(&state, all) => outcome,
            }
        };
        match outcome {
            Ok(()) => {
                state.set_phase(Phase::Ready);
                state.events.note(Event::Ready);
            }
            Err(error) => undo_start(&state, error).await,
        }
    });
}

/// Ends the cluster when its folder is gone: no other process could find and stop it any more.
async fn watch_folder(state: Rc<State>) {
    let mut refreshed = Instant::now();
    while state.folder.is_in_place() {
        tokio::select! {
            () = state.ending() => return,
            () = tokio::time::sleep(FOLDER_CHECK) => {}
        }
        if refreshed.elapsed() > FOLDER_REFRESH {
            state.folder.refresh();
            refreshed = Instant::now();
        }
    }
    let path = state.folder.path().display();
    state.events.note(Event::Note { text: format!("the folder `{path}` was removed: the cluster ends") });
    state.note_leftovers(tear_down(&state).await);
    state.folder.give_up();
    state.set_phase(Phase::Lost);
}

async fn open_and_boot(state: &Rc<State>, all: bool) -> Result<(), StepError> {
    open(state, all).await?;
    if all { boot_all(state).await } else { Ok(()) }
}

async fn open(state: &State, all: bool) -> Result<(), StepError> {
    let plan = state.plan();
    let networks = &state.networks;
    if let Some(netns) = &plan.netns {
        networks.open_namespace(netns).await?;
        if plan.options.uplink {
            networks.open_uplink().await?;
        }
    }
    let nics: Vec<&PlannedNic> = plan.nodes.iter().flat_map(|planned| &planned.nics).collect();
    let nets: Vec<&PlannedNet> = plan.nets.iter().collect();
    networks.preflight(&nets, &nics).await?;
    state.set_prepared(step(&state.events, Step::Guest, prepare(&plan, &state.events, all)).await?);
    networks.create_nets(&nets).await
}

async fn boot_all(state: &Rc<State>) -> Result<(), StepError> {
    let mut boots: FuturesUnordered<_> = state.all_nodes().into_iter().map(|node| boot(state.clone(), node)).collect();
    while let Some(booted) = boots.next().await {
        booted?;
    }
    Ok(())
}

/// Undoes a start and publishes why it failed.
async fn undo_start(state: &State, error: StepError) {
    let failure = error.into_start_failure(&state.events);
    let stopped = state.all_nodes().iter().filter(|node| node.state() == NodeState::Ready).count();
    let leftovers = tear_down(state).await;
    state.set_phase(Phase::Failed(Arc::new(StartFailure { stopped, leftovers, ..failure })));
}
