//! Expectations about frames that not every backend carries: tagged ones.

use xcluster_core::Cluster;

use crate::harness::{attempt, run};

/// Tags pass unchanged, and a tagged frame may be as large as any other.
pub(crate) async fn tagged_frames_arrive_with_their_tag(cluster: &Cluster) {
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
