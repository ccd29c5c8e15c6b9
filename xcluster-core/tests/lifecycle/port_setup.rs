//! NICs that are wired for QEMUs which are not the cluster's.

use xcluster_core::name::NetId;
use xcluster_core::plan::NodeBoot;
use xcluster_core::testing::{TestFailure, ensure};
use xcluster_core::{Cluster, NodeState};

use super::attach::Attached;
use super::ownership_marks::MarkingBackend;
use super::{Host, has, node};

const NET: NetId = NetId::CLUSTER;

pub(crate) async fn a_port_is_set_up_for_somebody_elses_qemu() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let cluster = Cluster::open(host.cluster()).await?;
    let port_config = cluster.set_up_port(1, NET).await?;
    has(&port_config.kvm.to_string(), "-netdev user,id=net1,restrict=on -device virtio-net-pci,netdev=net1")?;
    ensure(host.ports_of(node(1))? == ["net1-vm-001"], || "it is not wired".to_owned())?;
    let named = cluster.set_up_named_port(1, NET).await?;
    ensure(named.args == port_config.kvm.args(), || format!("{named:?}"))?;
    ensure(cluster.node(1)?.status().await?.state == NodeState::Waiting, || "it does not wait".to_owned())?;
    cluster.tear_down_port(1, NET).await?;
    cluster.tear_down_port(1, NET).await?;
    ensure(host.ports_of(node(1))?.is_empty(), || "its ports are still set up".to_owned())?;
    // What is left is undone at the end.
    cluster.set_up_port(2, NET).await?;
    cluster.stop().await?;
    host.is_as(&before)
}

pub(crate) async fn a_nic_that_is_in_no_plan_comes_after_the_others() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let cluster = Cluster::open(host.cluster()).await?;
    cluster.set_up_port(1, NetId::new(9)).await?;
    cluster.set_up_port(33, NetId::INTERNAL).await?;
    let plan = cluster.plan();
    let nets = |number| plan.node(node(number)).map(|planned| planned.node.nets.clone()).unwrap_or_default();
    ensure(nets(1) == [0, 1, 9].map(NetId::new), || format!("{:?}", nets(1)))?;
    ensure(nets(33) == [0, 1].map(NetId::new), || format!("{:?}", nets(33)))?;
    Ok(cluster.stop().await?)
}

pub(crate) async fn a_nodes_ports_are_set_up_for_one_qemu_at_a_time() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let cluster = Cluster::start(host.cluster()).await?;
    for outcome in [cluster.set_up_port(1, NET).await.map(drop), cluster.tear_down_port(1, NET).await] {
        let Err(error) = outcome else { return Err(TestFailure::new("it was wired for another one")) };
        has(&error.to_string(), "vm-001 is already running")?;
    }
    // The cluster's own boot sets up new ports.
    cluster.node(1)?.stop().await?;
    cluster.set_up_port(1, NET).await?;
    cluster.boot(NodeBoot::new(node(1)).nets([0])).await?;
    let ownership_marks = host.ports_of(node(1))?;
    ensure(ownership_marks == ["net0-vm-001"], || format!("{ownership_marks:?}"))?;
    Ok(cluster.stop().await?)
}

pub(crate) async fn a_setup_that_fails_leaves_nothing() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let ownership_marks = MarkingBackend::in_folder(&host.path("marks")).refusing(6);
    let cluster = Cluster::open(host.cluster_on(ownership_marks)).await?;
    let (plan, before) = (cluster.plan(), host.look());
    let Err(error) = cluster.set_up_port(1, NetId::new(6)).await else { return Err(TestFailure::new("it was wired")) };
    has(&format!("{error:?}"), "cannot set up net 6 with backend `marks`\n  caused by: not this one")?;
    ensure(cluster.plan() == plan, || "the plan has changed".to_owned())?;
    host.is_as(&before)?;
    Ok(cluster.stop().await?)
}

pub(crate) async fn another_process_has_ports_set_up() -> Result<(), TestFailure> {
    let attached = Attached::new(|backend| backend).await?;
    let first = attached.cluster.set_up_named_port(node(5), NET).await?;
    ensure(attached.cluster.set_up_named_port(node(5), NET).await? == first, || "the answers differ".to_owned())?;
    ensure(attached.host.ports_of(node(5))? == ["net1-vm-005"], || "it is not wired".to_owned())?;
    attached.cluster.tear_down_port(node(5), NET).await?;
    ensure(attached.host.ports_of(node(5))?.is_empty(), || "its ports are still set up".to_owned())?;
    attached.end().await.map(drop)
}
