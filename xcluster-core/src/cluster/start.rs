//! The order of a start: prepare, ask every backend, make the nets, bring the nodes up side by side. At the first failure
//! everything is called off and undone.

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use super::boot::{Turns, boot};
use super::error::{Cause, StartFailure};
use super::event::Event;
use super::prepare::{Prepared, prepare};
use super::state::{NodeCell, Phase, State};
use super::status::NodeState;
use super::undo::{chain, message, take_down};
use crate::host::{Namespace, Netns, Uplink};
use crate::net::{Net, NetError, Port};
use crate::plan::Step;
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

/// Starts the cluster in a task of its own.
pub(super) fn begin(state: &Rc<State>) {
    let starting = state.clone();
    let task = tokio::task::spawn_local(async move {
        let outcome = {
            // Whoever takes the cluster down has called this off and waits until it is gone.
            let _turn = starting.turn.lock().await;
            start(&starting).await
        };
        // From here on there is nothing to call off.
        starting.starting.take();
        match outcome {
            Ok(()) => {
                starting.phase.send_replace(Phase::Ready);
                starting.events.note(Event::Ready);
            }
            Err(failed) => give_up(&starting, failed).await,
        }
    });
    *state.starting.borrow_mut() = Some(task.abort_handle());
}

async fn start(state: &Rc<State>) -> Result<(), Failed> {
    if let Some(netns) = &state.plan.netns {
        step(state, Step::Netns { netns: netns.clone() }, open_netns(state, netns)).await?;
        if state.plan.options.uplink {
            step(state, Step::Uplink, open_uplink(state)).await?;
        }
    }
    for backend in state.plan.backends() {
        let preflight = Step::Preflight { backend: backend.to_owned() };
        step(state, preflight, preflight_of(state, backend)).await?;
    }
    let prepared = Rc::new(step(state, Step::Guest, prepare(state)).await?);
    for planned in &state.plan.nets {
        let (net, name) = (&planned.net, &planned.backend);
        let create = Step::CreateNet { net: net.id, backend: name.clone() };
        step(state, create, create_net(state, name, net)).await?;
    }
    boot_all(state, &prepared).await
}

async fn boot_all(state: &Rc<State>, prepared: &Rc<Prepared>) -> Result<(), Failed> {
    let turns = Rc::new(Turns::new(prepared.boots));
    let nodes = state.plan.nodes.iter().filter_map(|planned| state.nodes.get(&planned.node.id));
    let mut boots: FuturesUnordered<_> =
        nodes.map(|node| boot(state.clone(), prepared.clone(), node.clone(), turns.clone())).collect();
    while let Some(booted) = boots.next().await {
        booted?;
    }
    Ok(())
}

async fn open_netns(state: &Rc<State>, netns: &Netns) -> Result<(), Cause> {
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

async fn preflight_of(state: &Rc<State>, name: &str) -> Result<(), Cause> {
    let backend = state.backends.find(name).expect("the plan only names backends that are registered");
    let nets = state.plan.nets.iter().filter(|planned| planned.backend == name);
    let nets: Vec<Net> = nets.map(|planned| planned.net.clone()).collect();
    let nics = state.plan.nodes.iter().flat_map(|planned| &planned.nics).filter(|nic| nic.backend == name);
    let ports: Vec<Port> = nics.map(|nic| nic.port.clone()).collect();
    Ok(backend.preflight(&state.site(), &nets, &ports).await?)
}

async fn create_net(state: &Rc<State>, name: &str, net: &Net) -> Result<(), Cause> {
    let backend = state.backends.find(name).expect("the plan only names backends that are registered");
    state.undo.borrow_mut().net(name, net);
    Ok(backend.create_net(&state.site(), net).await?)
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
                Step::Boot { node } => state.nodes.get(node).cloned(),
                _ => None,
            };
            Err(Failed { step, cause, node })
        }
    }
}

/// Undoes a start and tells everybody who waits why.
async fn give_up(state: &Rc<State>, failed: Failed) {
    let Failed { step, cause, node } = failed;
    state.events.note(Event::Failed { step: step.clone(), error: chain(&cause) });
    if let Some(node) = &node {
        node.state.set(NodeState::Failed);
        *node.reason.borrow_mut() = Some(chain(&cause));
    }
    // Taken before the machine is stopped, whose end would look like the cause.
    let machine = node.as_ref().and_then(|node| node.machine.borrow().clone());
    let console = machine.as_ref().map(|machine| last_lines(&machine.console().tail())).filter(|text| !text.is_empty());
    let stderr = machine.as_ref().map(|machine| machine.stderr()).filter(|text| !text.is_empty());
    let stopped = state.nodes.values().filter(|node| node.state.get() == NodeState::Ready).count();
    let leftovers = take_down(state).await;
    let failure = StartFailure { step, cause, console, stderr, stopped, leftovers };
    state.phase.send_replace(Phase::Failed(Arc::new(failure)));
}

/// The end of a console as text that cannot steer a terminal.
fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let plain: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    let lines: Vec<&str> = plain.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(CONSOLE_LINES)..].join("\n")
}
