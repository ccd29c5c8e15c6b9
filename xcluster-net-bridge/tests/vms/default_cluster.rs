//! The default topology with few nodes and large packets.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::timeout;
use xcluster_core::topology::Topology;
use xcluster_core::{Cluster, Error, Event, NodeState};

use crate::harness::{attempt, both, builder, expectations, is_possible, links, run, scenario};

#[tokio::test(flavor = "multi_thread")]
async fn the_default_cluster_does_what_is_expected() {
    if !is_possible() {
        return;
    }
    let before = links();
    let mut topology = Topology::default();
    topology.mtu = 9000;
    scenario(builder().topology(topology).nodes(2).routers(1).testers(1), async |cluster| {
        expectations!(cluster;
            nodes_and_testers_reach_each_other_over_the_router,
            tagged_frames_arrive_with_their_tag,
            programs_in_the_namespace_see_the_bridges,
            nothing_is_known_outside,
            the_end_of_a_qemu_is_reported_and_the_others_go_on,
        );
        assert_eq!(links(), before, "a link came into the main namespace");
    })
    .await;
    assert_eq!(links(), before, "a link was left in the main namespace");
}

async fn nodes_and_testers_reach_each_other_over_the_router(cluster: &Cluster) {
    for (from, to) in [(221, "192.168.1.1"), (2, "192.168.2.221")] {
        for address in both(to) {
            let answer = run(cluster, from, format!("ping -c1 -W5 {address}")).await;
            assert!(answer.contains("ttl=63"), "{answer}");
        }
    }
}

/// Tags pass unchanged, and a tagged frame may be as large as any other.
async fn tagged_frames_arrive_with_their_tag(cluster: &Cluster) {
    for node in [1, 2] {
        let add = "modprobe 8021q; ip link add link eth1 name eth1.7 type vlan id 7 && ip link set eth1.7 up";
        run(cluster, node, format!("{add} && ip address add 10.7.0.{node}/24 dev eth1.7")).await;
    }
    run(cluster, 1, "ping -c1 -W5 -s 8972 10.7.0.2").await;
    run(cluster, 1, "ip link del eth1.7").await;
    let untagged = attempt(cluster, 1, "ip address add 10.7.0.1/24 dev eth1 && ping -c1 -W1 10.7.0.2").await;
    assert!(!untagged.status.success(), "{}", untagged.text());
    run(cluster, 1, "ip address del 10.7.0.1/24 dev eth1").await;
}

async fn programs_in_the_namespace_see_the_bridges(cluster: &Cluster) {
    let mut command = Command::new("cat");
    command.arg("/proc/self/net/dev");
    cluster.inside().await.unwrap().expect("the cluster has a namespace").enter(&mut command);
    let table = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let mut seen: Vec<&str> = table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    seen.sort_unstable();
    let taps = ["_t1", "_t2", "_t201", "_t221"].map(|tap| format!("xcbr0{tap}"));
    let bridges = ["lo", "xcbr0", "xcbr1", "xcbr1_t1", "xcbr1_t2", "xcbr1_t201", "xcbr2", "xcbr2_t201", "xcbr2_t221"];
    let mut expected: Vec<&str> = taps.iter().map(String::as_str).chain(bridges).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

/// Neither a link nor a route: the host's own routes do not lead to a node.
async fn nothing_is_known_outside(cluster: &Cluster) {
    assert!(!links().iter().any(|link| link.starts_with("xcbr")), "{:?}", links());
    assert_eq!(cluster.node(1).unwrap().address(22).await.unwrap(), None);
}

/// Checked last, since the node stays stopped.
async fn the_end_of_a_qemu_is_reported_and_the_others_go_on(cluster: &Cluster) {
    let victim = cluster.node(2).unwrap();
    let pid = victim.status().await.unwrap().pid.unwrap();
    let mut events = cluster.events();
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    let reported = timeout(Duration::from_secs(5), async {
        while !matches!(events.next().await.unwrap(), Event::Exited { node, .. } if node == victim.id()) {}
    });
    reported.await.unwrap();
    assert_eq!(victim.status().await.unwrap().state, NodeState::Failed);
    assert!(matches!(victim.connect(22).await, Err(Error::NotReady { .. })));
    run(cluster, 1, "ping -c1 -W5 192.168.0.250").await;
    cluster.node(1).unwrap().connect(22).await.unwrap();
}
