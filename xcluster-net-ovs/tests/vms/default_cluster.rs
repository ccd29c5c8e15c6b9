//! The default topology with few nodes and large packets, on a private instance.

use xcluster_core::Cluster;
use xcluster_core::topology::Topology;
use xcluster_net_ovs::OvsConfig;

use crate::harness::{both, builder, expectations, is_possible, links, run, scenario};

#[tokio::test(flavor = "multi_thread")]
async fn the_default_cluster_does_what_is_expected() {
    if !is_possible() {
        return;
    }
    let before = links();
    let mut topology = Topology::default();
    topology.mtu = 9000;
    let builder = builder(OvsConfig::default()).topology(topology).nodes(2).routers(1).testers(1);
    scenario(builder, async |cluster| {
        expectations!(cluster;
            nodes_and_testers_reach_each_other_over_the_router,
            tagged_frames_arrive_with_their_tag,
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

async fn tagged_frames_arrive_with_their_tag(cluster: &Cluster) {
    for node in [1, 2] {
        let add = "modprobe 8021q; ip link add link eth1 name eth1.7 type vlan id 7 && ip link set eth1.7 up";
        run(cluster, node, format!("{add} && ip address add 10.7.0.{node}/24 dev eth1.7")).await;
    }
    run(cluster, 1, "ping -c1 -W5 -s 8972 10.7.0.2").await;
}
