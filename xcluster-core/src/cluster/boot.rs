//! One node, from nothing to ready: wire its NICs, wait for its turn, start QEMU, wait for its word.

use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::unistd::Uid;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::console::ConsoleLog;
use super::error::{Cause, NodeFailure};
use super::event::Event;
use super::machine::{MachineLaunch, RunningMachine};
use super::node_cell::NodeCell;
use super::prepare::Prepared;
use super::start::{Failed, step};
use super::state::State;
use super::status::NodeState;
use super::{reach, ready};
use crate::host::{HostLock, HostLockError};
use crate::net::{KvmArgs, PortConfig};
use crate::plan::{PlannedNic, Readiness, SSH_PORT, Step};
use crate::qemu::command::OURS;

/// Whose turn it is to boot: within a cluster in the order of the nodes, between clusters whoever is there first.
#[derive(Debug)]
pub(super) struct Turns {
    boots: usize,
    own: Semaphore,
    /// One node waits for a place among all clusters, and the others behind it: each who waits has a connection to every
    /// holder of a place.
    line: Mutex<()>,
}

impl Turns {
    pub(super) fn new(boots: usize) -> Self {
        Self { boots, own: Semaphore::new(boots), line: Mutex::default() }
    }

    /// Waits for a turn, which lasts until what it gives is dropped. Also says how long other clusters made it wait.
    async fn take(&self, patience: Duration) -> Result<(SemaphorePermit<'_>, HostLock, Duration), HostLockError> {
        let own = self.own.acquire().await.expect("the semaphore is never closed");
        let begun = Instant::now();
        let _line = self.line.lock().await;
        let place = HostLock::take_one_of(&format!("boot/{}", Uid::effective()), self.boots, patience).await?;
        Ok((own, place, begun.elapsed()))
    }
}

/// Brings a node of an open cluster up when it is its turn.
pub(super) async fn boot(state: Rc<State>, node: Rc<NodeCell>) -> Result<(), Failed> {
    let (prepared, turns) = state.prepared.get().expect("nodes are booted when the cluster is open");
    let id = node.id();
    let mut nics = Vec::new();
    for nic in &node.planned.nics {
        let setup = Step::Setup { node: id, net: nic.port.net.id, backend: nic.backend.clone() };
        nics.push(step(&state, setup, wire(&state, &node, nic, &nics)).await?);
    }
    // Every node before this one may take its whole time, and so may those of other clusters.
    let before = u32::try_from(state.nodes.borrow().len()).unwrap_or(u32::MAX).saturating_add(4);
    let patience = prepared.deadline.saturating_mul(before);
    let failed = |cause: Cause| Failed { step: Step::Boot { node: id }, cause, node: Some(node.clone()) };
    let (_own, _place, waited) = turns.take(patience).await.map_err(|error| failed(Cause::HostLock(error)))?;
    state.events.note(Event::BootSlot { node: id, waited_millis: waited.as_millis().try_into().unwrap_or(u64::MAX) });
    step(&state, Step::Boot { node: id }, run(&state, prepared, &node, nics)).await
}

/// Has its backend wire a NIC.
pub(super) async fn set_up(state: &State, nic: &PlannedNic) -> Result<PortConfig, Cause> {
    let backend = state.backends.find(&nic.backend).expect("the plan only names backends that are registered");
    state.undo.borrow_mut().port(backend.name(), &nic.port);
    let port_config = backend.setup(&state.context(), &nic.port).await?;
    let missing = port_config.kvm.missing_descriptors();
    if missing.is_empty() { Ok(port_config) } else { Err(Cause::Descriptors(missing)) }
}

async fn wire(state: &Rc<State>, node: &Rc<NodeCell>, nic: &PlannedNic, before: &[KvmArgs]) -> Result<KvmArgs, Cause> {
    let port_config = set_up(state, nic).await?;
    fits(&port_config.kvm, before)?;
    node.port_config(&port_config);
    Ok(port_config.kvm)
}

/// All NICs of a node share one QEMU, so one would get the other's descriptor, or be in the wrong place.
fn fits(kvm: &KvmArgs, before: &[KvmArgs]) -> Result<(), Cause> {
    let known = |name: &str| OURS.contains(&name) || before.iter().any(|nic| nic.descriptors().contains_key(name));
    let twice: Vec<String> = kvm.descriptors().keys().filter(|name| known(name)).cloned().collect();
    if !twice.is_empty() {
        return Err(Cause::DescriptorsTwice(twice));
    }
    let elsewhere = |nic: &KvmArgs| nic.is_bound() && nic.qemu_netns() != kvm.qemu_netns();
    if kvm.is_bound() && before.iter().any(elsewhere) { Err(Cause::TwoNamespaces) } else { Ok(()) }
}

async fn run(state: &Rc<State>, prepared: &Prepared, node: &Rc<NodeCell>, nics: Vec<KvmArgs>) -> Result<(), Cause> {
    let plan = state.plan();
    let initramfs = prepared.initramfs(&plan).await?;
    let begun = Instant::now();
    let launch = MachineLaunch {
        program: prepared.qemu.path.clone(),
        machine: prepared.machine(&plan, &node.planned, &initramfs, nics)?,
        initramfs: initramfs.file,
        console_log: ConsoleLog::new(state.folder.dir(), format!("{}.console", node.planned.name)),
    };
    let readiness = plan.options.readiness();
    let late = |_| NodeFailure::Late { waited: prepared.deadline, readiness: readiness.clone() };
    let up = bring_up(state, node, &launch, &readiness);
    let machine = timeout(prepared.deadline, up).await.map_err(late)??;
    node.boot_millis.set(Some(begun.elapsed().as_millis().try_into().unwrap_or(u64::MAX)));
    node.state.set(NodeState::Ready);
    tokio::task::spawn_local(watch(state.clone(), node.clone(), machine));
    Ok(())
}

/// Starts QEMU, and once more if it crashes before the node is ready: QEMU has rare races of its own, and what the
/// backends have wired is still there.
async fn bring_up(
    state: &State,
    node: &Rc<NodeCell>,
    launch: &MachineLaunch,
    readiness: &Readiness,
) -> Result<Rc<RunningMachine>, NodeFailure> {
    let machine = begin(node, launch)?;
    match until_ready(state, node, &machine, readiness).await {
        Err(NodeFailure::Exited(how)) if machine.crashed() => {
            let text = format!("{}: {}; it is started once more", node.planned.name, end_of(&machine, &how));
            state.events.note(Event::Note { text });
        }
        outcome => return outcome.map(|()| machine),
    }
    let machine = begin(node, launch)?;
    until_ready(state, node, &machine, readiness).await.map(|()| machine)
}

fn begin(node: &NodeCell, launch: &MachineLaunch) -> Result<Rc<RunningMachine>, NodeFailure> {
    let machine = Rc::new(RunningMachine::start(launch.clone())?);
    *node.machine.borrow_mut() = Some(machine.clone());
    node.state.set(NodeState::Booting);
    Ok(machine)
}

async fn until_ready(
    state: &State,
    node: &Rc<NodeCell>,
    machine: &RunningMachine,
    readiness: &Readiness,
) -> Result<(), NodeFailure> {
    let up = async {
        machine.greet().await?;
        ready::wait(readiness, machine, || reach::connect(state, node, SSH_PORT)).await
    };
    or_exit(machine, up).await
}

/// What `up` gives, unless QEMU ends first: then that is what happened, whatever `up` made of it.
async fn or_exit(
    machine: &RunningMachine,
    up: impl Future<Output = Result<(), NodeFailure>>,
) -> Result<(), NodeFailure> {
    let failure = tokio::select! {
        how = machine.exited() => return Err(NodeFailure::Exited(how)),
        result = up => match result {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        },
    };
    // A descriptor whose other end is closed is heard of before the process is reaped: its end is the better story.
    let closed = matches!(failure, NodeFailure::Monitor(_) | NodeFailure::Agent(_));
    if closed && let Ok(how) = timeout(EXIT_LAG, machine.exited()).await {
        return Err(NodeFailure::Exited(how));
    }
    Err(failure)
}

/// How long after the last word of a process its end may come.
const EXIT_LAG: Duration = Duration::from_secs(1);

/// Notes when a node that was ready ends although nobody stopped it.
async fn watch(state: Rc<State>, node: Rc<NodeCell>, machine: Rc<RunningMachine>) {
    let how = machine.exited().await;
    if *state.ending.borrow() || node.is_called_off() {
        return;
    }
    let reason = end_of(&machine, &how);
    node.state.set(NodeState::Failed);
    *node.reason.borrow_mut() = Some(reason.clone());
    state.events.note(Event::Exited { node: node.id(), reason });
}

/// How a QEMU ended, with what it said.
fn end_of(machine: &RunningMachine, how: &str) -> String {
    let said = machine.stderr();
    if said.is_empty() { format!("QEMU {how}") } else { format!("QEMU {how}: {said}") }
}
