//! One node, from nothing to ready: set up its ports, wait for a boot slot, start QEMU, wait until it is ready.

use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::connect::connect;
use super::console::ConsoleLog;
use super::node_state::NodeRecord;
use super::prepare::Prepared;
use super::qemu_instance::{QemuInstance, QemuLaunch};
use super::readiness;
use super::state::State;
use super::step::{StepError, step};
use crate::cluster::error::{Cause, NodeFailure};
use crate::cluster::event::Event;
use crate::cluster::status::NodeState;
use crate::net::KvmArgs;
use crate::plan::{Readiness, SSH_PORT, Step};
use crate::qemu::command::OURS;

/// How long after the end of a process's streams its exit may come.
const EXIT_LAG: Duration = Duration::from_secs(1);

/// Boots a node of an open cluster when it gets a slot.
pub(super) async fn boot(state: Rc<State>, node: Rc<NodeRecord>) -> Result<(), StepError> {
    let prepared = state.prepared().expect("nodes are booted when the cluster is open");
    let id = node.id();
    let mut nics = Vec::new();
    for nic in &node.planned().nics {
        let config = state.networks.set_up(nic, |config| fits(&config.kvm, &nics)).await?;
        node.add_port(&config);
        nics.push(config.kvm);
    }
    // Every node before this one may take its whole time, and so may those of other clusters.
    let before = u32::try_from(state.all_nodes().len()).unwrap_or(u32::MAX).saturating_add(4);
    let deadline = prepared.deadline.saturating_mul(before);
    let failed = |error| StepError { step: Step::Boot { node: id }, cause: Cause::HostLock(error), node: None };
    let slot = prepared.slots.take(deadline).await.map_err(failed).map_err(|error| error.of(&node))?;
    state.events.note(Event::BootSlot { node: id, waited: slot.waited });
    let run = run(&state, prepared, &node, nics);
    step(&state.events, Step::Boot { node: id }, run).await.map_err(|error| error.of(&node))
}

/// All NICs of a node share one QEMU: descriptors of the same name would be mixed up, and QEMU runs in one namespace.
fn fits(kvm: &KvmArgs, before: &[KvmArgs]) -> Result<(), Cause> {
    let known = |name: &str| OURS.contains(&name) || before.iter().any(|nic| nic.descriptors().contains_key(name));
    let twice: Vec<String> = kvm.descriptors().keys().filter(|name| known(name)).cloned().collect();
    if !twice.is_empty() {
        return Err(Cause::DescriptorsTwice(twice));
    }
    let elsewhere = |nic: &KvmArgs| nic.is_bound() && nic.qemu_netns() != kvm.qemu_netns();
    if kvm.is_bound() && before.iter().any(elsewhere) { Err(Cause::TwoNamespaces) } else { Ok(()) }
}

async fn run(state: &Rc<State>, prepared: &Prepared, node: &Rc<NodeRecord>, nics: Vec<KvmArgs>) -> Result<(), Cause> {
    let plan = state.plan();
    let initramfs = prepared.initramfs(&plan).await?;
    let begun = Instant::now();
    let launch = QemuLaunch {
        program: prepared.qemu.path.clone(),
        machine: prepared.machine(&plan, node.planned(), &initramfs, nics)?,
        initramfs: initramfs.file,
        console_log: ConsoleLog::new(state.folder.dir(), format!("{}.console", node.planned().name)),
    };
    let readiness = plan.options.readiness();
    let late = |_| NodeFailure::Late { waited: prepared.deadline, readiness: readiness.clone() };
    let up = start_qemu(state, node, &launch, &readiness);
    let qemu = timeout(prepared.deadline, up).await.map_err(late)??;
    node.set_ready(begun.elapsed());
    let (state, node) = (state.clone(), node.clone());
    tokio::task::spawn_local(async move { report_end(&state, &node, &qemu).await });
    Ok(())
}

/// Starts QEMU, and once more if it crashes before the node is ready: QEMU has rare races of its own, and the ports are still
/// set up.
async fn start_qemu(
    state: &State,
    node: &Rc<NodeRecord>,
    launch: &QemuLaunch,
    readiness: &Readiness,
) -> Result<Rc<QemuInstance>, NodeFailure> {
    let qemu = begin(node, launch)?;
    match until_ready(state, node, &qemu, readiness).await {
        Err(NodeFailure::Exited(how)) if qemu.crashed() => {
            let text = format!("{}: {}; it is started once more", node.planned().name, end_of(&qemu, &how));
            state.events.note(Event::Note { text });
        }
        outcome => return outcome.map(|()| qemu),
    }
    let qemu = begin(node, launch)?;
    until_ready(state, node, &qemu, readiness).await.map(|()| qemu)
}

fn begin(node: &NodeRecord, launch: &QemuLaunch) -> Result<Rc<QemuInstance>, NodeFailure> {
    let qemu = Rc::new(QemuInstance::start(launch.clone())?);
    node.set_booting(qemu.clone());
    Ok(qemu)
}

async fn until_ready(
    state: &State,
    node: &Rc<NodeRecord>,
    qemu: &QemuInstance,
    readiness: &Readiness,
) -> Result<(), NodeFailure> {
    let up = async {
        qemu.greet().await?;
        readiness::wait(readiness, qemu, || connect(&state.networks, node, SSH_PORT)).await
    };
    or_exit(qemu, up).await
}

/// The outcome of `up`, unless QEMU ends first: then its exit is the cause, whatever `up` made of it.
async fn or_exit(qemu: &QemuInstance, up: impl Future<Output = Result<(), NodeFailure>>) -> Result<(), NodeFailure> {
    let failure = tokio::select! {
        how = qemu.exited() => return Err(NodeFailure::Exited(how)),
        result = up => match result {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        },
    };
    // A closed stream is noticed before the process is reaped, and the exit says more.
    let closed = matches!(failure, NodeFailure::Monitor(_) | NodeFailure::Agent(_));
    if closed && let Ok(how) = timeout(EXIT_LAG, qemu.exited()).await {
        return Err(NodeFailure::Exited(how));
    }
    Err(failure)
}

/// Reports the end of a node that was ready, once, unless it was stopped. One that boots reports its end itself.
pub(super) async fn report_end(state: &State, node: &NodeRecord, qemu: &QemuInstance) {
    let how = qemu.exited().await;
    if state.is_ending() || node.is_cancelled() || node.state() != NodeState::Ready {
        return;
    }
    let reason = end_of(qemu, &how);
    node.set_failed(reason.clone());
    state.events.note(Event::Exited { node: node.id(), reason });
}

/// How a QEMU ended, with its messages.
fn end_of(qemu: &QemuInstance, how: &str) -> String {
    let messages = qemu.stderr();
    if messages.is_empty() { format!("QEMU {how}") } else { format!("QEMU {how}: {messages}") }
}
