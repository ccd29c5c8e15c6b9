//! Claims about what a frame may be: as large as its net allows, and tagged.

use xcluster_core::Cluster;

use crate::lab::run;

/// The payload of an echo request that fills an MTU of 9000, less the headers of IP and ICMP.
const WHOLE: [(&str, &str); 2] = [("192.168.", "8972"), ("1000::1:192.168.", "8952")];

pub(crate) async fn packets_of_the_whole_mtu_arrive_in_one_piece(cluster: &Cluster) {
    let before = fragments(cluster).await;
    for to in ["0.2", "0.201", "0.250", "1.2", "1.201", "1.250"] {
        for (prefix, size) in WHOLE {
            run(cluster, 1, format!("ping -c1 -W5 -s {size} {prefix}{to}")).await;
        }
    }
    assert_eq!(fragments(cluster).await, before);
}

/// The counters are those that would have told.
pub(crate) async fn what_is_larger_is_fragmented(cluster: &Cluster) {
    let before = fragments(cluster).await;
    run(cluster, 1, "ping -c1 -W5 -s 8973 192.168.1.2 && ping -c1 -W5 -s 8953 1000::1:192.168.1.2").await;
    let after = fragments(cluster).await;
    for (before, after) in before.iter().zip(&after) {
        assert!(after > before, "a node has counted {before} fragments before and {after} after");
    }
}

/// How many fragments each node has made or put together, in both IP versions.
async fn fragments(cluster: &Cluster) -> Vec<u64> {
    let count = "awk '/^Ip: [0-9]/ { n += $15 + $18 + $20 } /^Ip6(ReasmReqds|FragOKs|FragCreates)/ { n += $2 } \
                 END { print n }' /proc/net/snmp /proc/net/snmp6";
    let mut counts = Vec::new();
    for node in [1, 2] {
        counts.push(run(cluster, node, count).await.parse().expect("a number of fragments"));
    }
    counts
}

/// Tags belong to those on the net; what is in a tagged frame is as large as in any other.
pub(crate) async fn tagged_frames_arrive_with_their_tag(cluster: &Cluster) {
    for node in [1, 2] {
        let add = "modprobe 8021q; ip link add link eth1 name eth1.7 type vlan id 7 && ip link set eth1.7 up";
        run(cluster, node, format!("{add} && ip address add 10.7.0.{node}/24 dev eth1.7")).await;
    }
    run(cluster, 1, "ping -c1 -W5 -s 8972 10.7.0.2").await;
    run(cluster, 1, "ip link del eth1.7").await;
    let untagged =
        crate::lab::attempt(cluster, 1, "ip address add 10.7.0.1/24 dev eth1 && ping -c1 -W1 10.7.0.2").await;
    assert!(!untagged.status.success(), "{}", untagged.text());
    run(cluster, 1, "ip address del 10.7.0.1/24 dev eth1").await;
}
