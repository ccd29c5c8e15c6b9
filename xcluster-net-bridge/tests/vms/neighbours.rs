//! Two clusters at the same time in one process, and the end of a node while the others go on.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::timeout;
use xcluster_core::name::NodeId;
use xcluster_core::topology::Topology;
use xcluster_core::{Builder, Cluster, Error, Event, NodeState};

use crate::lab::{attempt, begin, both, builder, claims, is_possible, links, run, scenario};

/// These nodes on the default nets.
fn with(nodes: &[u16]) -> Builder {
    let mut topology = Topology::default();
    topology.roles.nodes.ids = Some(nodes.iter().map(|n| NodeId::new(*n).unwrap()).collect());
    builder().topology(topology).routers(0)
}

/// The same nets, addresses and names of links.
#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_side_by_side_do_not_meet() {
    if !is_possible() {
        return;
    }
    let before = links();
    let other = tokio::spawn(async {
        let (cluster, traces, ready) = begin(&with(&[2])).await;
        ready.map(|()| (cluster, traces))
    });
    scenario(with(&[1, 3]), async |cluster| {
        let (other, traces) = other.await.unwrap().unwrap();
        assert_eq!(links(), before, "a link came into the main namespace");
        they_do_not_hear_each_other(cluster, &other).await;
        other.stop().await.unwrap();
        traces.are_gone();
        claims!(cluster; those_that_are_left_reach_each_other, the_end_of_a_qemu_is_told_and_the_others_go_on);
    })
    .await;
    assert_eq!(links(), before, "a link was left in the main namespace");
}

async fn they_do_not_hear_each_other(cluster: &Cluster, other: &Cluster) {
    for net in [0, 1] {
        for (cluster, from, absent) in [(cluster, 1, 2), (other, 2, 1)] {
            let arping = format!("arping -c1 -w1 -I eth{net} 192.168.{net}.{absent}");
            let answer = attempt(cluster, from, arping).await;
            assert!(!answer.status.success(), "{}", answer.text());
        }
    }
    let known = run(other, 2, "ip neighbour").await;
    assert!(!known.contains(".1.3 ") && !known.contains(":01:03"), "{known}");
}

async fn those_that_are_left_reach_each_other(cluster: &Cluster) {
    for net in [0, 1] {
        for address in both(&format!("192.168.{net}.3")) {
            run(cluster, 1, format!("ping -c1 -W5 {address}")).await;
        }
    }
}

async fn the_end_of_a_qemu_is_told_and_the_others_go_on(cluster: &Cluster) {
    let victim = cluster.node(3).unwrap();
    let pid = victim.status().await.unwrap().pid.unwrap();
    let mut events = cluster.events();
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    let told = timeout(Duration::from_secs(5), async {
        while !matches!(events.next().await.unwrap(), Event::Exited { node, .. } if node == victim.id()) {}
    });
    told.await.unwrap();
    assert_eq!(victim.status().await.unwrap().state, NodeState::Failed);
    assert!(matches!(victim.connect(22).await, Err(Error::NotReady { .. })));
    run(cluster, 1, "ping -c1 -W5 192.168.0.250").await;
    cluster.node(1).unwrap().connect(22).await.unwrap();
}
