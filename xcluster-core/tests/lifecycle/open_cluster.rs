//! Nodes of an open cluster that are booted in any order and with other args, stopped, and booted again.

use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::plan::{NodeBoot, Step};
use xcluster_core::testing::{Behaviour, TestFailure, ensure};
use xcluster_core::{Cluster, Error, Event, Node, NodeState};

use super::attach::Attached;
use super::ownership_marks::MarkingBackend;
use super::{Host, has, node};

async fn states(cluster: &Cluster) -> Result<Vec<(u16, NodeState)>, TestFailure> {
    Ok(cluster.status().await?.nodes.iter().map(|node| (node.id.number(), node.state)).collect())
}

async fn are(cluster: &Cluster, expected: &[(u16, NodeState)]) -> Result<(), TestFailure> {
    let states = states(cluster).await?;
    ensure(states == expected, || format!("{states:?}"))
}

/// What `arg` was followed by when the node's QEMU was started.
fn value(host: &Host, id: NodeId, arg: &str) -> String {
    let args = host.qemu.args(id).unwrap_or_default();
    args.iter().skip_while(|w| *w != arg).nth(1).cloned().unwrap_or_default()
}

fn said(outcome: Result<Node, Error>) -> Result<String, TestFailure> {
    outcome.err().map(|error| format!("{error:?}")).ok_or_else(|| TestFailure::new("it was booted"))
}

/// Waits until a node is being started.
async fn begun(cluster: &Cluster, id: NodeId) {
    let mut events = cluster.events();
    while !events.next().await.is_none_or(|event| boots(&event, id)) {}
}

/// Whether an event is that a node is being started.
fn boots(event: &Event, id: NodeId) -> bool {
    matches!(event, Event::Begin { step: Step::Boot { node } } if *node == id)
}

/// Waits until the boot of a node has begun.
async fn until_boots(cluster: &Cluster, id: NodeId) -> Result<(), TestFailure> {
    let mut events = cluster.events();
    while let Some(event) = events.next().await {
        if boots(&event, id) {
            return Ok(());
        }
    }
    Err(TestFailure::new("the events ended without the boot"))
}

pub(crate) async fn an_open_cluster_boots_its_nodes_in_any_order() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let cluster = Cluster::open(host.cluster()).await?;
    are(&cluster, &[(1, NodeState::Waiting), (2, NodeState::Waiting), (201, NodeState::Waiting)]).await?;
    cluster.boot(201).await?;
    are(&cluster, &[(1, NodeState::Waiting), (2, NodeState::Waiting), (201, NodeState::Ready)]).await?;
    cluster.boot("vm-002").await?.qmp("query-status", serde_json::Value::Null).await?;
    are(&cluster, &[(1, NodeState::Waiting), (2, NodeState::Ready), (201, NodeState::Ready)]).await?;
    ensure(host.qemu.starts(node(1)) == 0, || "node 1 was started".to_owned())?;
    cluster.stop().await?;
    host.is_as(&before)
}

pub(crate) async fn nodes_and_nets_come_to_a_cluster_that_runs() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let cluster = Cluster::start(host.cluster()).await?;
    let added = cluster.boot(NodeBoot::new(node(9)).nets([0, 7]).memory(256).cpus(1)).await?;
    ensure(added.status().await?.state == NodeState::Ready, || "it is not ready".to_owned())?;
    ensure(cluster.node(9)?.id() == node(9), || "it is no node".to_owned())?;
    let plan = cluster.plan();
    ensure(plan.node_numbers() == "1 2 9 201", || plan.node_numbers())?;
    ensure(plan.net(NetId::new(7)).is_some(), || "there is no net 7".to_owned())?;
    let ownership_marks = host.ports_of(node(9))?;
    ensure(ownership_marks == ["net0-vm-009", "net7-vm-009"], || format!("{ownership_marks:?}"))?;
    has(&value(&host, node(9), "-m"), "256")?;
    cluster.stop().await?;
    host.is_as(&before)
}

pub(crate) async fn several_nodes_are_added_at_once() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let cluster = Arc::new(Cluster::open(host.cluster()).await?);
    let boots = (11..17).map(|number| {
        let cluster = cluster.clone();
        async move { cluster.boot(NodeBoot::new(node(number)).nets([0, 3])).await }
    });
    for booted in futures::future::join_all(boots).await {
        booted?;
    }
    let numbers = cluster.plan().node_numbers();
    ensure(numbers == "1 2 11–16 201", || numbers)?;
    drop(cluster);
    host.is_as(&before)
}

pub(crate) async fn a_node_boots_again_with_other_arguments() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let cluster = Cluster::start(host.cluster()).await?;
    let mut events = cluster.events();
    let first = cluster.node(1)?;
    first.stop().await?;
    are(&cluster, &[(1, NodeState::Stopped), (2, NodeState::Ready), (201, NodeState::Ready)]).await?;
    ensure(host.ports_of(node(1))?.is_empty(), || "its ports are still set up".to_owned())?;
    while !matches!(events.next().await, Some(Event::NodeStopped { node: stopped }) if stopped == node(1)) {}
    // Once more is no mistake.
    first.stop().await?;
    let again = NodeBoot::new(node(1)).nets([0, 1, 2]).kernel_args("quiet").qemu_args(["-global", "x.y=z"]);
    cluster.boot(again).await?;
    let args = host.qemu.args(node(1)).unwrap_or_default();
    ensure(args.iter().filter(|arg| arg.starts_with("user,")).count() == 3, || format!("{args:?}"))?;
    ensure(args.ends_with(&["-global".to_owned(), "x.y=z".to_owned()]), || format!("{args:?}"))?;
    has(&value(&host, node(1), "-append"), "quiet")?;
    // As it is planned is as it was booted last.
    first.stop().await?;
    cluster.boot(1).await?;
    ensure(host.qemu.args(node(1)).unwrap_or_default() == args, || "it is not as before".to_owned())?;
    let exited = Event::Exited { node: node(1), reason: String::new() };
    cluster.stop().await?;
    while let Some(event) = events.next().await {
        let same = std::mem::discriminant(&event) == std::mem::discriminant(&exited);
        ensure(!same, || format!("{event:?}"))?;
    }
    host.is_as(&before)
}

pub(crate) async fn a_node_that_ended_by_itself_boots_again() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let cluster = Cluster::start(host.cluster()).await?;
    let mut events = cluster.events();
    let pid = cluster.node(2)?.status().await?.pid.ok_or_else(|| TestFailure::new("no pid"))?;
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL)?;
    while !matches!(events.next().await, Some(Event::Exited { .. }) | None) {}
    cluster.boot(NodeBoot::new(node(2)).nets([0])).await?;
    let ownership_marks = host.ports_of(node(2))?;
    ensure(ownership_marks == ["net0-vm-002"], || format!("{ownership_marks:?}"))?;
    are(&cluster, &[(1, NodeState::Ready), (2, NodeState::Ready), (201, NodeState::Ready)]).await?;
    Ok(cluster.stop().await?)
}

pub(crate) async fn a_node_that_runs_is_not_booted() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let cluster = Cluster::start(host.cluster()).await?;
    has(&said(cluster.boot(NodeBoot::new(node(2)).memory(512)).await)?, "vm-002 is already running")?;
    ensure(host.qemu.starts(node(2)) == 1, || "it was started".to_owned())?;
    let memory = cluster.plan().node(node(2)).map(|planned| planned.node.memory);
    ensure(memory == Some(128), || format!("{memory:?}"))?;
    Ok(cluster.stop().await?)
}

pub(crate) async fn a_nodes_mistakes_are_reported_at_once_and_change_nothing() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let cluster = Cluster::open(host.cluster()).await?;
    let (plan, before) = (cluster.plan(), host.look());
    let said = said(cluster.boot(NodeBoot::new(node(5)).nets([1, 1]).memory(1).cpus(0)).await)?;
    for part in
        ["net 0 must be first", "a net is listed twice", "1 MiB of memory is too little", "at least one processor"]
    {
        has(&said, part)?;
    }
    has(&self::said(cluster.boot(300).await)?, "there is no node 300")?;
    ensure(cluster.plan() == plan, || "the plan has changed".to_owned())?;
    host.is_as(&before)?;
    Ok(cluster.stop().await?)
}

pub(crate) async fn a_node_that_does_not_boot_fails_alone() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let cluster = Cluster::start(host.cluster()).await?;
    cluster.node(2)?.stop().await?;
    let stderr = "fake-qemu: the disk is on fire".to_owned();
    host.qemu.behave(node(2), &Behaviour::Die { stderr, code: 3, after: None })?;
    let said = said(cluster.boot(2).await)?;
    has(&said, "cannot start vm-002\n  caused by: QEMU ended with code 3")?;
    has(&said, "the disk is on fire")?;
    are(&cluster, &[(1, NodeState::Ready), (2, NodeState::Failed), (201, NodeState::Ready)]).await?;
    ensure(host.ports_of(node(2))?.is_empty(), || "its ports are still set up".to_owned())?;
    host.qemu.behave(node(2), &Behaviour::Boot)?;
    cluster.boot(2).await?;
    cluster.stop().await?;
    host.is_as(&before)
}

pub(crate) async fn nets_that_a_failed_boot_wanted_are_gone() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let ownership_marks = MarkingBackend::in_folder(&host.path("marks")).refusing(6);
    let cluster = Cluster::open(host.cluster_on(ownership_marks)).await?;
    let (plan, before) = (cluster.plan(), host.look());
    let said = said(cluster.boot(NodeBoot::new(node(1)).nets([0, 5, 6])).await)?;
    has(&said, "cannot set up net 6 with backend `marks`\n  caused by: not this one")?;
    ensure(cluster.plan() == plan, || "the plan has changed".to_owned())?;
    host.is_as(&before)?;
    are(&cluster, &[(1, NodeState::Waiting), (2, NodeState::Waiting), (201, NodeState::Waiting)]).await?;
    cluster.boot(1).await?;
    Ok(cluster.stop().await?)
}

pub(crate) async fn a_node_that_stops_while_it_boots_is_cancelled() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let cluster = Arc::new(Cluster::open(host.cluster()).await?);
    host.qemu.behave(node(1), &Behaviour::Hang)?;
    let booting = tokio::task::spawn_local({
        let cluster = cluster.clone();
        async move { cluster.boot(1).await }
    });
    begun(&cluster, node(1)).await;
    cluster.node(1)?.stop().await?;
    let outcome = booting.await.map_err(|error| TestFailure::new(error.to_string()))?;
    has(&said(outcome)?, "vm-001 is not ready (stopped: cancelled while booting)")?;
    ensure(host.ports_of(node(1))?.is_empty(), || "its ports are still set up".to_owned())?;
    host.qemu.behave(node(1), &Behaviour::Boot)?;
    cluster.boot(1).await?;
    Ok(())
}

pub(crate) async fn a_boot_that_nobody_waits_for_is_cancelled() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let cluster = Cluster::open(host.cluster()).await?;
    host.qemu.behave(node(9), &Behaviour::Hang)?;
    tokio::select! {
        booted = cluster.boot(NodeBoot::new(node(9)).nets([0, 4])) => { said(booted)?; }
        () = begun(&cluster, node(9)) => {}
    }
    // A stop, too, waits until the cancelled boot is undone.
    cluster.node(9)?.stop().await?;
    ensure(host.ports_of(node(9))?.is_empty(), || "its ports are still set up".to_owned())?;
    host.qemu.behave(node(9), &Behaviour::Boot)?;
    cluster.boot(9).await?;
    Ok(cluster.stop().await?)
}

pub(crate) async fn a_cluster_that_ends_while_a_node_boots_leaves_nothing() -> Result<(), TestFailure> {
    let attached = Attached::new(|backend| backend).await?;
    attached.host.qemu.behave(node(9), &Behaviour::Hang)?;
    let booting = tokio::task::spawn_local({
        let cluster = Cluster::attach_under(attached.host.path("clusters"), "test").await?;
        async move { cluster.boot(NodeBoot::new(node(9)).nets([0, 4])).await }
    });
    until_boots(&attached.cluster, node(9)).await?;
    let host = attached.end().await?;
    let booted = booting.await.map_err(|error| TestFailure::new(error.to_string()))?;
    ensure(booted.is_err(), || "it was booted".to_owned())?;
    for folder in ["marks", "clusters"] {
        let left: Vec<_> = std::fs::read_dir(host.path(folder))?.collect();
        ensure(left.is_empty(), || format!("{left:?}"))?;
    }
    Ok(())
}

pub(crate) async fn another_process_boots_and_stops_nodes() -> Result<(), TestFailure> {
    let attached = Attached::new(|backend| backend).await?;
    let status = attached.cluster.boot(NodeBoot::new(node(3)).nets([0, 1, 2])).await?.status().await?;
    ensure(status.state == NodeState::Ready && status.nics.len() == 3, || format!("{status:?}"))?;
    ensure(attached.cluster.plan().node(node(3)).is_some(), || "it is not in the plan".to_owned())?;
    attached.cluster.node(3)?.stop().await?;
    let stderr = "fake-qemu: no".to_owned();
    attached.host.qemu.behave(node(3), &Behaviour::Die { stderr, code: 1, after: None })?;
    let Err(error) = attached.cluster.boot(3).await else { return Err(TestFailure::new("it was booted")) };
    has(&format!("{error:?}"), "cannot start vm-003\n  caused by: QEMU ended with code 1")?;
    attached.end().await.map(drop)
}

pub(crate) async fn a_client_that_hangs_up_cancels_its_boot() -> Result<(), TestFailure> {
    let attached = Attached::new(|backend| backend).await?;
    attached.host.qemu.behave(node(3), &Behaviour::Hang)?;
    let booting = tokio::task::spawn_local({
        let cluster = Cluster::attach_under(attached.host.path("clusters"), "test").await?;
        async move { cluster.boot(3).await }
    });
    until_boots(&attached.cluster, node(3)).await?;
    booting.abort();
    let _ = booting.await;
    // A stop, too, waits until the cancelled boot is undone.
    attached.cluster.node(3)?.stop().await?;
    ensure(attached.host.ports_of(node(3))?.is_empty(), || "its ports are still set up".to_owned())?;
    attached.end().await.map(drop)
}

/// Everything at once on few nodes, in pseudo-random order: some requests are refused, nothing hangs, every node can
/// be used afterwards, and nothing is left.
pub(crate) async fn whatever_happens_at_once_leaves_a_cluster_in_order() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let cluster = Cluster::open(host.cluster()).await?;
    let numbers = [1, 2, 9, 201];
    let mut done = [0; 6];
    for round in 0..8 {
        let works = (0..24).map(|index| at_random(&cluster, &numbers, round * 24 + index));
        let all = tokio::time::timeout(Duration::from_secs(60), futures::future::join_all(works));
        let all = all.await.map_err(|_| TestFailure::new(format!("round {round} does not end")))?;
        all.into_iter().flatten().for_each(|what| done[what] += 1);
    }
    ensure(done.iter().all(|count| *count > 0), || format!("not everything has happened: {done:?}"))?;
    for number in numbers {
        cluster.node(number)?.stop().await?;
        cluster.boot(NodeBoot::new(node(number)).nets([0])).await?;
        let ownership_marks = host.ports_of(node(number))?;
        ensure(ownership_marks.len() == 1, || format!("{ownership_marks:?}"))?;
    }
    cluster.stop().await?;
    host.is_as(&before)
}

/// One of the things that can be done with a node, and which it was; none if it was refused, which is for other tests.
async fn at_random(cluster: &Cluster, numbers: &[u16], index: u64) -> Option<usize> {
    // Numbers that look like none in particular, and are the same in each run (Knuth's multiplier).
    let chance = index.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 33;
    let number = numbers[chance as usize % numbers.len()];
    let net = NetId::new(1 + (chance / 64 % 3) as u8);
    let what = (chance / 8 % 6) as usize;
    let done = match what {
        0 => cluster.boot(number).await.is_ok(),
        1 => cluster.boot(NodeBoot::new(node(number)).nets([NetId::INTERNAL, net])).await.is_ok(),
        // Its caller no longer waits.
        2 => tokio::time::timeout(Duration::from_millis(chance / 7 % 30), cluster.boot(number)).await.is_err(),
        3 => cluster.set_up_port(number, net).await.is_ok(),
        4 => cluster.tear_down_port(number, net).await.is_ok(),
        _ => match cluster.node(number) {
            Ok(node) => node.stop().await.is_ok(),
            Err(_) => false,
        },
    };
    done.then_some(what)
}
