//! Nodes that are booted one by one, in an order and with settings of the caller's: the router first, then nodes that differ
//! from the plan. One of them is stopped and booted again on another net.
//!
//! ```text
//!                                 ┌── vm-010, which is not in the topology: net 7, another kernel argument
//! vm-221 ── net 2 ── vm-201 ── net 1
//!                                 └── vm-001: more memory; later also on net 7
//! ```
//!
//! The test shows:
//! * [`Cluster::open`] prepares a cluster without booting a node;
//! * [`Cluster::boot`] boots a node as planned, or with the changes of a [`NodeBoot`], and creates nets that do not exist yet;
//! * nodes whose boots are awaited together boot at the same time;
//! * [`Node::stop`](xcluster_core::Node::stop) stops one node, and the others go on.

use xcluster_core::name::NodeId;
use xcluster_core::plan::NodeBoot;
use xcluster_core::{Cluster, Node, NodeState};
use xcluster_net_user::UserBackend;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::test]
async fn nodes_boot_in_the_callers_order_with_the_callers_settings() -> Result<()> {
    let builder = Cluster::builder().backend(UserBackend::default()).nodes(1).routers(1).testers(1);
    let cluster = Cluster::open(builder).await?;

    // The router is configured before a node can send packets through it.
    let router = cluster.boot(201).await?;
    router.exec("sysctl -w net.ipv4.ip_default_ttl=33").await?.ok()?;

    let node = NodeBoot::new(NodeId::new(1)?).memory(256);
    let stranger = NodeBoot::new(NodeId::new(10)?).nets([0, 1, 7]).cpus(1).kernel_args("own.argument=yes");
    let (node, stranger, tester) = tokio::try_join!(cluster.boot(node), cluster.boot(stranger), cluster.boot(221))?;
    assert!(memory(&node).await? > 128 * 1024, "vm-001 has no more memory than others");
    assert!(stranger.exec("cat /proc/cmdline").await?.ok()?.text().contains("own.argument=yes"));
    // From net 2 to net 1, over the router.
    tester.exec("ping -c1 -W10 192.168.1.10").await?.ok()?;

    node.stop().await?;
    assert_eq!(node.status().await?.state, NodeState::Stopped);
    tester.exec("ping -c1 -W10 192.168.1.10").await?.ok()?;
    let node = cluster.boot(NodeBoot::new(node.id()).nets([0, 1, 7])).await?;
    node.exec("ping -c1 -W10 192.168.7.10").await?.ok()?;
    // A node knows all nodes by name that the plan has when it boots.
    node.exec("grep -qw vm-010 /etc/hosts").await?.ok()?;

    cluster.stop().await?;
    Ok(())
}

/// The memory of a node, in KiB.
async fn memory(node: &Node) -> Result<u64> {
    let output = node.exec("grep MemTotal /proc/meminfo").await?.ok()?;
    Ok(output.text().split_whitespace().nth(1).ok_or("no number")?.parse()?)
}
