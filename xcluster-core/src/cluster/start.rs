//! The order of a start: open the cluster, which is to ask every backend, prepare and make the nets; then bring the nodes up
//! side by side. At the first failure everything is called off and undone.

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::boot::{Turns, boot};
use super::error::{Cause, StartFailure};
use super::event::Event;
use super::node_cell::NodeCell;
use super::prepare::prepare;
use super::state::{Phase, State};
use super::status::NodeState;
use super::undo::{chain, message, take_down};
use crate::host::{Namespace, Netns, Uplink};
use crate::net::{Net, NetError, Port};
use crate::plan::{PlannedNet, PlannedNic, Step};
use crate::qemu::process::describe;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::oneshot;

/// How much of a failed node's console is shown, in lines: a kernel that panics says why some 35 lines before its last.
const CONSOLE_LINES: usize = 40;

/// A step that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) step: Step,
    pub(super) cause: Cause,
    /// The node whose console may tell more.
    pub(super) node: Option<Rc<NodeCell>>,
}

/// How often to see whether the cluster's folder is still there. It is asked for, since inotify(7) tells nothing of a folder
/// above that was renamed, and a user has only 128 of its instances.
const FOLDER_CHECK: Duration = Duration::from_secs(1);

/// How often to say that the folder is in use.
const FOLDER_REFRESH: Duration = Duration::from_secs(60 * 60);

/// Opens the cluster in a task of its own, and starts `all` nodes or none.
pub(super) fn begin(state: &Rc<State>, all: bool) {
    tokio::task::spawn_local(watch_folder(state.clone()));
    let state = state.clone();
    tokio::task::spawn_local(async move {
        let outcome = {
            // Whoever takes the cluster down has called this off and waits until it is gone.
            let _turn = state.turn.read().await;
            tokio::select! {
                biased;
                () = state.ends() => return,
                outcome = start(&state, all) => outcome,
            }
        };
        match outcome {
            Ok(()) => {
                state.phase.send_replace(Phase::Ready);
                state.events.note(Event::Ready);
            }
            Err(failed) => give_up(&state, failed).await,
        }
    });
}

/// Ends the cluster when its folder is gone: nobody could stop it any more.
async fn watch_folder(state: Rc<State>) {
    let mut refreshed = Instant::now();
    while state.folder.is_in_place() {
        tokio::select! {
            () = state.ends() => return,
            () = tokio::time::sleep(FOLDER_CHECK) => {}
        }
        if refreshed.elapsed() > FOLDER_REFRESH {
            state.folder.refresh();
            refreshed = Instant::now();
        }
    }
    let path = state.folder.path().display();
    state.events.note(Event::Note { text: format!("the folder `{path}` was removed: the cluster ends") });
    for leftover in take_down(&state).await {
        state.events.note(Event::Note { text: format!("not removed: {leftover}") });
    }
    state.phase.send_replace(Phase::Lost);
}

async fn start(state: &Rc<State>, all: bool) -> Result<(), Failed> {
    open(state, all).await?;
    if all { boot_all(state).await } else { Ok(()) }
}

async fn open(state: &Rc<State>, all: bool) -> Result<(), Failed> {
    let plan = state.plan();
    if let Some(netns) = &plan.netns {
        step(state, Step::Netns { netns: netns.clone() }, open_netns(state, netns)).await?;
        if plan.options.uplink {
            step(state, Step::Uplink, open_uplink(state)).await?;
        }
    }
    let ports: Vec<&PlannedNic> = plan.nodes.iter().flat_map(|planned| &planned.nics).collect();
    let nets: Vec<&PlannedNet> = plan.nets.iter().collect();
    ask(state, &nets, &ports).await?;
    let prepared = step(state, Step::Guest, prepare(state, all)).await?;
    let turns = Turns::new(prepared.boots);
    state.prepared.set((prepared, turns)).expect("a cluster is opened once");
    create(state, &nets).await
}

/// Asks each backend of these nets and NICs whether this host can carry them.
pub(super) async fn ask(state: &Rc<State>, nets: &[&PlannedNet], nics: &[&PlannedNic]) -> Result<(), Failed> {
    let of_nets = nets.iter().map(|planned| planned.backend.as_str());
    let mut names: Vec<&str> = Vec::new();
    for name in of_nets.chain(nics.iter().map(|nic| nic.backend.as_str())) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for name in names {
        let nets = nets.iter().filter(|planned| planned.backend == name).map(|planned| planned.net.clone()).collect();
        let ports = nics.iter().filter(|nic| nic.backend == name).map(|nic| nic.port.clone()).collect();
        step(state, Step::Preflight { backend: name.to_owned() }, preflight(state, name, nets, ports)).await?;
    }
    Ok(())
}

/// Makes these nets.
pub(super) async fn create(state: &Rc<State>, nets: &[&PlannedNet]) -> Result<(), Failed> {
    for planned in nets {
        let (net, name) = (&planned.net, &planned.backend);
        let create = Step::CreateNet { net: net.id, backend: name.clone() };
        step(state, create, create_net(state, name, net)).await?;
    }
    Ok(())
}

async fn boot_all(state: &Rc<State>) -> Result<(), Failed> {
    let mut boots: FuturesUnordered<_> = state.all_nodes().into_iter().map(|node| boot(state.clone(), node)).collect();
    while let Some(booted) = boots.next().await {
        booted?;
    }
    Ok(())
}

pub(super) async fn open_netns(state: &Rc<State>, netns: &Netns) -> Result<(), Cause> {
    // It takes a child of a few system calls, so there is nothing to wait for.
    let namespace = Namespace::open(netns).map_err(NetError::from)?;
    state
        .namespace
        .set(namespace)
        .map_err(|_| Cause::io("make a second network namespace", io::ErrorKind::AlreadyExists))
}

async fn open_uplink(state: &Rc<State>) -> Result<(), Cause> {
    let Some(namespace) = state.namespace.get() else { return Ok(()) };
    let mut uplink = Uplink::open(namespace, state.folder.path()).await?;
    let (close, closing) = oneshot::channel();
    let told = Rc::downgrade(state);
    let watch = tokio::task::spawn_local(async move {
        let ended = tokio::select! {
            // Also when nobody is left who could say so.
            _ = closing => return uplink.close().await,
            ended = uplink.ended() => ended,
        };
        if let Some(state) = told.upgrade() {
            let how = ended.map_or_else(|error| error.to_string(), describe);
            state.events.note(Event::Note { text: format!("the way to the world is gone: `pasta` {how}") });
        }
    });
    *state.uplink.borrow_mut() = Some((close, watch));
    Ok(())
}

async fn preflight(state: &Rc<State>, name: &str, nets: Vec<Net>, ports: Vec<Port>) -> Result<(), Cause> {
    let backend = state.backends.find(name).expect("the plan only names backends that are registered");
    Ok(backend.preflight(&state.context(), &nets, &ports).await?)
}

async fn create_net(state: &Rc<State>, name: &str, net: &Net) -> Result<(), Cause> {
    let backend = state.backends.find(name).expect("the plan only names backends that are registered");
    state.undo.borrow_mut().net(name, net);
    Ok(backend.create_net(&state.context(), net).await?)
}

/// Does a step and reports its beginning and end.
pub(super) async fn step<T>(
    state: &Rc<State>,
    step: Step,
    work: impl Future<Output = Result<T, Cause>>,
) -> Result<T, Failed> {
    let begun = Instant::now();
    state.events.note(Event::Begin { step: step.clone() });
    // A backend may be anybody's program: what it does wrong is a failure of this step, and everybody hears of it.
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    match outcome.unwrap_or_else(|panic| Err(Cause::Panicked(message(panic.as_ref())))) {
        Ok(value) => {
            let millis = begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX);
            state.events.note(Event::Done { step, millis });
            Ok(value)
        }
        Err(cause) => {
            let node = match &step {
                Step::Boot { node } => state.find_node(*node),
                _ => None,
            };
            Err(Failed { step, cause, node })
        }
    }
}

/// Undoes a start and tells everybody who waits why.
async fn give_up(state: &Rc<State>, failed: Failed) {
    let failure = told(state, failed);
    let stopped = state.all_nodes().iter().filter(|node| node.state.get() == NodeState::Ready).count();
    let leftovers = take_down(state).await;
    let failure = StartFailure { stopped, leftovers, ..failure };
    state.phase.send_replace(Phase::Failed(Arc::new(failure)));
}

/// What failed, with all that helps to see why, before anything is undone: the end of a machine that is stopped would look
/// like the cause.
pub(super) fn told(state: &State, failed: Failed) -> StartFailure {
    let Failed { step, cause, node } = failed;
    state.events.note(Event::Failed { step: step.clone(), error: chain(&cause) });
    if let Some(node) = &node {
        node.state.set(NodeState::Failed);
        *node.reason.borrow_mut() = Some(chain(&cause));
    }
    let machine = node.as_ref().and_then(|node| node.machine.borrow().clone());
    let console = machine.as_ref().map(|machine| last_lines(&machine.console().tail())).filter(|text| !text.is_empty());
    let stderr = machine.as_ref().map(|machine| machine.stderr()).filter(|text| !text.is_empty());
    StartFailure { step, cause, console, stderr, stopped: 0, leftovers: Vec::new() }
}

/// The end of a console as text that cannot steer a terminal.
fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    let lines: Vec<&str> = plain.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n")
}
