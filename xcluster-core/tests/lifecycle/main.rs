//! Clusters whose QEMUs behave badly: nothing is left of them in any case. The QEMUs are fake ones,
//! so that they do it at will and at once.

mod attach;
mod open_cluster;
mod ownership_marks;
mod port_setup;
mod test_run;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use xcluster_core::name::NodeId;
use xcluster_core::plan::{Accel, GuestSource, Options, Readiness, Step};
use xcluster_core::testing::leftovers::{Snapshot, Watch};
use xcluster_core::testing::{Behaviour, FakeQemu, TestFailure, ensure};
use xcluster_core::{Builder, Cluster, Event, NodeState};

use attach::{
    a_cluster_whose_owner_has_ended_is_not_running, a_cluster_without_a_namespace_has_no_way_into_it,
    a_connection_to_a_cluster_of_another_process_outlives_its_owner,
    a_forward_leads_to_a_port_of_a_node_until_it_is_dropped, a_port_where_nothing_listens_is_reported_by_the_owner,
    a_program_runs_in_the_namespace_of_a_cluster_of_another_process, an_attached_handle_needs_no_runtime,
    an_attached_handle_stops_a_cluster_and_its_owner_learns_of_it,
    an_attached_handle_that_is_dropped_leaves_the_cluster,
};
use open_cluster::{
    a_boot_that_nobody_waits_for_is_cancelled, a_client_that_hangs_up_cancels_its_boot,
    a_cluster_that_ends_while_a_node_boots_leaves_nothing, a_node_boots_again_with_other_arguments,
    a_node_that_does_not_boot_fails_alone, a_node_that_ended_by_itself_boots_again, a_node_that_runs_is_not_booted,
    a_node_that_stops_while_it_boots_is_cancelled, a_nodes_mistakes_are_reported_at_once_and_change_nothing,
    an_open_cluster_boots_its_nodes_in_any_order, another_process_boots_and_stops_nodes,
    nets_that_a_failed_boot_wanted_are_gone, nodes_and_nets_come_to_a_cluster_that_runs,
    several_nodes_are_added_at_once, whatever_happens_at_once_leaves_a_cluster_in_order,
};
use ownership_marks::MarkingBackend;
use port_setup::{
    a_nic_that_is_in_no_plan_comes_after_the_others, a_nodes_ports_are_set_up_for_one_qemu_at_a_time,
    a_port_is_set_up_for_somebody_elses_qemu, a_setup_that_fails_leaves_nothing, another_process_has_ports_set_up,
};
use test_run::{
    a_host_that_cannot_carry_the_backend_skips_a_test_or_fails_it, a_host_without_qemu_skips_a_test_or_fails_it,
    a_link_among_artifacts_is_not_followed, a_pause_ends_at_ctrl_c, a_pause_has_a_limit,
    a_paused_test_goes_on_when_told, a_start_that_fails_leaves_its_evidence,
    a_stop_that_leaves_something_fails_the_test, a_test_that_fails_leaves_its_evidence,
    a_test_that_panics_leaves_its_evidence, a_test_that_passes_leaves_nothing, a_test_without_a_runtime_is_the_same,
    artifacts_of_a_test_that_passes_are_kept_on_demand, waiting_for_a_boot_slot_is_reported_apart,
};

xcluster_core::harness![
    a_cluster_starts_and_stops_and_leaves_nothing,
    a_dropped_cluster_leaves_nothing,
    every_node_gets_its_nics_in_order,
    a_node_that_dies_at_once_fails_the_start_with_its_last_messages,
    a_node_that_dies_before_it_is_ready_fails_the_start_with_its_last_messages,
    a_node_that_does_not_greet_fails_the_start_at_the_deadline,
    a_node_that_hangs_fails_the_start_at_the_deadline,
    a_node_that_babbles_fails_the_start,
    a_node_whose_qemu_crashes_is_started_once_more_and_that_is_reported,
    a_node_whose_qemu_crashes_twice_fails_the_start_with_the_signal,
    a_node_whose_qemu_is_killed_is_not_started_again,
    a_node_that_is_stopped_while_it_boots_is_not_started_again,
    a_node_that_dies_later_is_noticed_and_the_others_go_on,
    a_node_that_is_killed_fails_and_can_be_booted_again,
    a_console_is_waited_for_with_a_deadline,
    the_console_can_be_what_tells_that_a_node_is_ready,
    a_cluster_that_boots_one_at_a_time_waits_for_other_clusters,
    a_connection_to_a_cluster_of_another_process_outlives_its_owner,
    a_port_where_nothing_listens_is_reported_by_the_owner,
    a_program_runs_in_the_namespace_of_a_cluster_of_another_process,
    a_cluster_without_a_namespace_has_no_way_into_it,
    an_attached_handle_that_is_dropped_leaves_the_cluster,
    an_attached_handle_stops_a_cluster_and_its_owner_learns_of_it,
    a_cluster_whose_owner_has_ended_is_not_running,
    an_attached_handle_needs_no_runtime,
    a_forward_leads_to_a_port_of_a_node_until_it_is_dropped,
    an_open_cluster_boots_its_nodes_in_any_order,
    nodes_and_nets_come_to_a_cluster_that_runs,
    several_nodes_are_added_at_once,
    a_node_boots_again_with_other_arguments,
    a_node_that_ended_by_itself_boots_again,
    a_node_that_runs_is_not_booted,
    a_nodes_mistakes_are_reported_at_once_and_change_nothing,
    a_node_that_does_not_boot_fails_alone,
    nets_that_a_failed_boot_wanted_are_gone,
    a_node_that_stops_while_it_boots_is_cancelled,
    a_cluster_that_ends_while_a_node_boots_leaves_nothing,
    a_boot_that_nobody_waits_for_is_cancelled,
    whatever_happens_at_once_leaves_a_cluster_in_order,
    another_process_boots_and_stops_nodes,
    a_client_that_hangs_up_cancels_its_boot,
    a_port_is_set_up_for_somebody_elses_qemu,
    a_nic_that_is_in_no_plan_comes_after_the_others,
    a_nodes_ports_are_set_up_for_one_qemu_at_a_time,
    a_setup_that_fails_leaves_nothing,
    another_process_has_ports_set_up,
    a_test_that_fails_leaves_its_evidence,
    a_test_that_panics_leaves_its_evidence,
    a_start_that_fails_leaves_its_evidence,
    a_test_that_passes_leaves_nothing,
    artifacts_of_a_test_that_passes_are_kept_on_demand,
    a_link_among_artifacts_is_not_followed,
    a_host_without_qemu_skips_a_test_or_fails_it,
    a_host_that_cannot_carry_the_backend_skips_a_test_or_fails_it,
    a_stop_that_leaves_something_fails_the_test,
    a_paused_test_goes_on_when_told,
    a_pause_has_a_limit,
    a_pause_ends_at_ctrl_c,
    waiting_for_a_boot_slot_is_reported_apart,
    a_test_without_a_runtime_is_the_same,
];

/// A host with fake QEMUs, and a folder for everything that a cluster leaves there.
struct Host {
    qemu: FakeQemu,
    folder: TempDir,
}

impl Host {
    fn new() -> Result<Self, TestFailure> {
        let folder = tempfile::tempdir()?;
        for name in ["marks", "clusters"] {
            // Others must have no access to the folders of clusters, which would be refused.
            DirBuilder::new().mode(0o700).create(folder.path().join(name))?;
        }
        fs::write(folder.path().join("kernel"), "no kernel")?;
        Ok(Self { qemu: FakeQemu::new(env!("CARGO_BIN_EXE_fake-qemu"))?, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Two nodes and a router, which boot what no QEMU would.
    fn cluster(&self) -> Builder {
        self.cluster_with(Options::default())
    }

    fn cluster_with(&self, options: Options) -> Builder {
        self.cluster_of(options, MarkingBackend::in_folder(&self.path("marks")))
    }

    fn cluster_on(&self, backend: MarkingBackend) -> Builder {
        self.cluster_of(Options::default(), backend)
    }

    fn cluster_of(&self, mut options: Options, backend: MarkingBackend) -> Builder {
        options.qemu = self.qemu.program();
        options.guest = GuestSource::Kernel { kernel: Some(self.path("kernel")), initramfs: Some(self.path("kernel")) };
        options.accel = Accel::Tcg;
        Cluster::builder().options(options).backend(backend).folder(self.path("clusters")).nodes(2).routers(1)
    }

    /// The marks of a node's ports.
    fn ports_of(&self, id: NodeId) -> Result<Vec<String>, TestFailure> {
        let names =
            fs::read_dir(self.path("marks"))?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<Result<Vec<String>, TestFailure>>()?;
        names.retain(|name| name.ends_with(&id.to_string()));
        names.sort();
        Ok(names)
    }

    fn watch(&self) -> Watch {
        Watch::new().folder(self.path("marks")).folder(self.path("clusters"))
    }

    /// What there is now.
    fn look(&self) -> Snapshot {
        self.watch().look()
    }

    /// Whether that is what there was before.
    fn is_as(&self, before: &Snapshot) -> Result<(), TestFailure> {
        self.watch().is_as(before)
    }

    /// The error of a start that fails: its causes on the first line, then as a test that gives up shows it. Nothing is
    /// left of it.
    async fn failure(&self, builder: Builder) -> Result<String, TestFailure> {
        let before = self.look();
        let Err(error) = Cluster::start(builder).await else { return Err(TestFailure::new("the start did not fail")) };
        self.is_as(&before)?;
        Ok(format!("{}\n{error:?}", TestFailure::from(&error)))
    }
}

fn node(number: u16) -> NodeId {
    NodeId::new(number).expect("the number of a node")
}

fn has(text: &str, part: &str) -> Result<(), TestFailure> {
    ensure(text.contains(part), || format!("`{part}` is not in: {text}"))
}

async fn a_cluster_starts_and_stops_and_leaves_nothing() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let cluster = Cluster::start(host.cluster()).await?;
    let states: Vec<NodeState> = cluster.status().await?.nodes.iter().map(|node| node.state).collect();
    ensure(states == [NodeState::Ready; 3], || format!("{states:?}"))?;
    cluster.stop().await?;
    host.is_as(&before)
}

async fn a_dropped_cluster_leaves_nothing() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    drop(Cluster::start(host.cluster()).await?);
    host.is_as(&before)
}

async fn every_node_gets_its_nics_in_order() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let cluster = Cluster::start(host.cluster()).await?;
    let args = host.qemu.args(node(201)).unwrap_or_default();
    let netdevs: Vec<&str> = args.iter().filter(|arg| arg.starts_with("user,")).map(String::as_str).collect();
    let expected = ["user,id=net0,restrict=on", "user,id=net1,restrict=on", "user,id=net2,restrict=on"];
    ensure(netdevs == expected, || format!("{netdevs:?}"))?;
    Ok(cluster.stop().await?)
}

async fn a_node_that_dies_at_once_fails_the_start_with_its_last_messages() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let stderr = "fake-qemu: cannot set up guest memory".to_owned();
    host.qemu.behave(node(2), &Behaviour::Die { stderr, code: 1, after: None })?;
    let said = host.failure(host.cluster()).await?;
    has(&said, "cannot start vm-002: QEMU ended with code 1\n")?;
    has(&said, "cannot set up guest memory")
}

async fn a_node_that_dies_before_it_is_ready_fails_the_start_with_its_last_messages() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let stderr = "fake-qemu: the disk is on fire".to_owned();
    host.qemu.behave(node(2), &Behaviour::Die { stderr, code: 3, after: Some(50) })?;
    let never = Readiness::Console("what nobody says".to_owned());
    let said = host.failure(host.cluster().ready_when(never)).await?;
    has(&said, "cannot start vm-002")?;
    has(&said, "ended with code 3")?;
    has(&said, "the disk is on fire")
}

async fn a_node_that_does_not_greet_fails_the_start_at_the_deadline() -> Result<(), TestFailure> {
    late(&Behaviour::Mute).await
}

async fn a_node_that_hangs_fails_the_start_at_the_deadline() -> Result<(), TestFailure> {
    late(&Behaviour::Hang).await
}

async fn late(behaviour: &Behaviour) -> Result<(), TestFailure> {
    let host = Host::new()?;
    host.qemu.behave(node(1), behaviour)?;
    let said = host.failure(host.cluster().deadline(Duration::from_secs(3))).await?;
    has(&said, "cannot start vm-001")
}

async fn a_node_that_babbles_fails_the_start() -> Result<(), TestFailure> {
    let host = Host::new()?;
    host.qemu.behave(node(1), &Behaviour::Babble)?;
    let said = host.failure(host.cluster()).await?;
    has(&said, "cannot start vm-001")?;
    has(&said, "QEMU's monitor does not answer")
}

fn killed(signal: Signal, times: usize) -> Behaviour {
    Behaviour::Killed { signal: signal as i32, times }
}

async fn a_node_whose_qemu_crashes_is_started_once_more_and_that_is_reported() -> Result<(), TestFailure> {
    let host = Host::new()?;
    host.qemu.behave(node(2), &killed(Signal::SIGSEGV, 1))?;
    let cluster = Cluster::start(host.cluster()).await?;
    let mut events = cluster.events();
    let note = "vm-002: QEMU was killed by SIGSEGV; it is started once more";
    loop {
        match events.next().await {
            Some(Event::Note { text }) if text == note => break,
            Some(Event::Ready) | None => return Err(TestFailure::new("it was not told before the cluster was ready")),
            Some(_) => {}
        }
    }
    let starts = [1, 2, 201].map(|number| host.qemu.starts(node(number)));
    ensure(starts == [1, 2, 1], || format!("started {starts:?} times"))?;
    let states: Vec<NodeState> = cluster.status().await?.nodes.iter().map(|node| node.state).collect();
    ensure(states == [NodeState::Ready; 3], || format!("{states:?}"))?;
    cluster.node(2)?.qmp("query-status", serde_json::Value::Null).await?;
    Ok(cluster.stop().await?)
}

async fn a_node_whose_qemu_crashes_twice_fails_the_start_with_the_signal() -> Result<(), TestFailure> {
    let host = Host::new()?;
    host.qemu.behave(node(2), &killed(Signal::SIGSEGV, usize::MAX))?;
    let said = host.failure(host.cluster()).await?;
    has(&said, "cannot start vm-002: QEMU was killed by SIGSEGV\n")?;
    ensure(host.qemu.starts(node(2)) == 2, || format!("started {} times", host.qemu.starts(node(2))))
}

async fn a_node_whose_qemu_is_killed_is_not_started_again() -> Result<(), TestFailure> {
    let host = Host::new()?;
    host.qemu.behave(node(2), &killed(Signal::SIGKILL, 1))?;
    let said = host.failure(host.cluster()).await?;
    has(&said, "cannot start vm-002: QEMU was killed by SIGKILL\n")?;
    ensure(host.qemu.starts(node(2)) == 1, || format!("started {} times", host.qemu.starts(node(2))))
}

async fn a_node_that_is_stopped_while_it_boots_is_not_started_again() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    host.qemu.behave(node(1), &Behaviour::Hang)?;
    let cluster = Cluster::begin(&host.cluster().nodes(1).routers(0))?;
    let mut events = cluster.events();
    while !matches!(events.next().await, Some(Event::Begin { step: Step::Boot { .. } }) | None) {}
    cluster.stop().await?;
    while let Some(event) = events.next().await {
        ensure(!matches!(&event, Event::Note { text } if text.contains("once more")), || format!("{event:?}"))?;
    }
    host.is_as(&before)?;
    ensure(host.qemu.starts(node(1)) <= 1, || format!("started {} times", host.qemu.starts(node(1))))
}

async fn a_node_that_dies_later_is_noticed_and_the_others_go_on() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let cluster = Cluster::start(host.cluster()).await?;
    let mut events = cluster.events();
    let pid = cluster.node(2)?.status().await?.pid.ok_or_else(|| TestFailure::new("no pid"))?;
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL)?;
    let reason = loop {
        match events.next().await {
            Some(Event::Exited { node: exited, reason }) if exited == node(2) => break reason,
            Some(_) => {}
            None => return Err(TestFailure::new("the events ended without it")),
        }
    };
    has(&reason, "SIGKILL")?;
    let states: Vec<NodeState> = cluster.status().await?.nodes.iter().map(|node| node.state).collect();
    ensure(states == [NodeState::Ready, NodeState::Failed, NodeState::Ready], || format!("{states:?}"))?;
    cluster.node(1)?.qmp("query-status", serde_json::Value::Null).await?;
    Ok(cluster.stop().await?)
}

async fn a_node_that_is_killed_fails_and_can_be_booted_again() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let cluster = Cluster::start(host.cluster()).await?;
    let node = cluster.node(2)?;
    node.kill().await?;
    let status = node.status().await?;
    ensure(status.state == NodeState::Failed, || format!("{status:?}"))?;
    has(status.reason.as_deref().unwrap_or_default(), "QEMU was killed by SIGKILL")?;
    let mut ends = 0;
    let mut events = cluster.events();
    while let Some(event) = events.next().await {
        match event {
            Event::Exited { .. } => ends += 1,
            // The boot comes after everything that the end has caused.
            Event::Begin { step: Step::Boot { .. } } if ends > 0 => break,
            Event::Ready => drop(cluster.boot(2).await?),
            _ => {}
        }
    }
    ensure(ends == 1, || format!("its end was reported {ends} times"))?;
    ensure(node.status().await?.state == NodeState::Ready, || "it does not run again".to_owned())?;
    Ok(cluster.stop().await?)
}

async fn a_console_is_waited_for_with_a_deadline() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let cluster = Cluster::start(host.cluster().ready_when(Readiness::Console(Behaviour::UP.to_owned()))).await?;
    let mut console = cluster.node(1)?.console().await?;
    has(&console.expect(Behaviour::UP, Duration::from_secs(10)).await?, Behaviour::UP)?;
    let Err(error) = console.expect("never", Duration::from_millis(100)).await else {
        return Err(TestFailure::new("it was shown"));
    };
    has(&error.to_string(), "the console of vm-001 did not show `never` within 100ms")?;
    Ok(cluster.stop().await?)
}

async fn the_console_can_be_what_tells_that_a_node_is_ready() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let builder = host.cluster().ready_when(Readiness::Console(Behaviour::UP.to_owned()));
    let cluster = Cluster::start(builder).await?;
    let text = cluster.node(1)?.console_text().await?;
    has(&text, Behaviour::UP)?;
    Ok(cluster.stop().await?)
}

/// Two clusters with one boot slot: the first has it for three seconds, until its boot times out. The second is not begun.
async fn one_waits_for_the_boot_slot_of_another(
    first: &Host,
    second: &Host,
) -> Result<(Cluster, Builder), TestFailure> {
    let mut options = Options::default();
    options.boots = Some(1);
    let alone = |host: &Host| host.cluster_with(options.clone()).nodes(1).routers(0);
    first.qemu.behave(node(1), &Behaviour::Hang)?;
    let holder = Cluster::begin(&alone(first).deadline(Duration::from_secs(3)))?;
    let mut events = holder.events();
    while !matches!(events.next().await, Some(Event::Begin { step: Step::Boot { .. } }) | None) {}
    Ok((holder, alone(second)))
}

async fn a_cluster_that_boots_one_at_a_time_waits_for_other_clusters() -> Result<(), TestFailure> {
    let (first, second) = (Host::new()?, Host::new()?);
    let (_holder, builder) = one_waits_for_the_boot_slot_of_another(&first, &second).await?;
    let begun = Instant::now();
    let cluster = Cluster::start(builder).await?;
    // Its own boot takes a moment; the other one's slot is free after its deadline.
    ensure(begun.elapsed() > Duration::from_secs(2), || format!("ready after {:?}", begun.elapsed()))?;
    Ok(cluster.stop().await?)
}
