//! Two clusters on one host, in one process, and the end of single nodes and of a cluster while the other goes on.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::timeout;
use xcluster_core::name::NodeId;
use xcluster_core::topology::Topology;
use xcluster_core::{Builder, Cluster, Error, ErrorKind, Event, NodeState};

use crate::harness::{begin, builder, expectations, run, scenario};
use crate::internal_net::by_telnet;

/// Nodes 1 and this one on the default nets.
fn with(node: u16) -> Builder {
    let mut topology = Topology::default();
    topology.roles.workers.ids = Some([1, node].map(|n| NodeId::new(n).unwrap()).to_vec());
    builder().topology(topology).routers(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_side_by_side_have_their_own_numbers() {
    let other = tokio::spawn(async {
        let (cluster, traces, ready) = begin(&with(2)).await;
        ready.map(|()| (cluster, traces))
    });
    scenario(with(3), async |cluster| {
        let (other, traces) = other.await.unwrap().unwrap();
        their_ports_differ(cluster, &other).await;
        expectations!(cluster;
            a_node_that_has_the_number_of_qemus_name_server_is_reached,
            a_name_in_use_is_refused,
            the_end_of_a_qemu_is_reported_at_once_and_the_others_go_on,
        );
        // Inside a runtime, whose thread must not be needed for it.
        drop(other);
        traces.are_gone();
        run(cluster, 1, "true").await;
    })
    .await;
}

async fn their_ports_differ(one: &Cluster, other: &Cluster) {
    let mut seen = BTreeSet::new();
    for cluster in [one, other] {
        for node in cluster.status().await.unwrap().nodes {
            for forward in node.forwards {
                assert!(seen.insert(forward.host), "{} leads to two nodes", forward.host);
            }
        }
    }
    assert!(seen.iter().all(SocketAddr::is_ipv4) && seen.len() >= 12, "{seen:?}");
}

async fn a_name_in_use_is_refused(cluster: &Cluster) {
    let again = Cluster::begin(&with(2).name(cluster.name().as_str())).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::InUse, "{again}");
    assert!(again.to_string().contains(cluster.name().as_str()), "{again}");
}

async fn a_node_that_has_the_number_of_qemus_name_server_is_reached(cluster: &Cluster) {
    by_telnet(cluster, 3, "echo I am $(hostname)", "I am vm-003").await;
}

async fn the_end_of_a_qemu_is_reported_at_once_and_the_others_go_on(cluster: &Cluster) {
    let victim = cluster.node(3).unwrap();
    let pid = victim.status().await.unwrap().pid.unwrap();
    let running = victim.spawn("sleep 1000").await.unwrap();
    let mut events = cluster.events();
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    let describe = timeout(Duration::from_secs(5), async {
        loop {
            if let Some(Event::Exited { node, reason }) = events.next().await {
                return (node, reason);
            }
        }
    });
    let (node, reason) = describe.await.unwrap();
    assert_eq!(node, victim.id());
    assert!(reason.contains("SIGKILL"), "{reason}");

    let status = victim.status().await.unwrap();
    assert_eq!((status.state, status.pid), (NodeState::Failed, None));
    assert_eq!(status.reason, Some(reason));
    running.output().await.unwrap_err();
    assert!(matches!(victim.exec("true").await, Err(Error::NotReady { .. })));
    assert!(!victim.console_text().await.unwrap().is_empty());
    assert_eq!(run(cluster, 1, "hostname").await, "vm-001");
}
