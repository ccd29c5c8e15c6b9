//! The default topology with few nodes and large packets, on an Open vSwitch of its own.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xcluster_core::topology::Topology;
use xcluster_core::{Cluster, Node};
use xcluster_net_ovs::OvsConfig;

use crate::lab::{attempt, both, builder, claims, is_possible, links, run, scenario, serving};

/// The members of each net.
const NETS: [(u8, &[u8]); 3] = [(0, &[1, 2, 201, 221]), (1, &[1, 2, 201]), (2, &[201, 221])];

/// The payload of an echo request that fills an MTU of 9000, less the headers of IP and ICMP.
const WHOLE: [(&str, &str); 2] = [("192.168.", "8972"), ("1000::1:192.168.", "8952")];

#[tokio::test(flavor = "multi_thread")]
async fn the_default_cluster_does_what_is_claimed() {
    if !is_possible() {
        return;
    }
    let before = links();
    let mut topology = Topology::default();
    topology.mtu = 9000;
    let builder = builder(OvsConfig::default()).topology(topology).nodes(2).routers(1).testers(1);
    scenario(builder, async |cluster| {
        claims!(cluster;
            all_reach_each_other_on_every_net,
            nodes_and_testers_reach_each_other_over_the_router,
            megabytes_arrive_as_they_were_sent,
            packets_of_the_whole_mtu_arrive_in_one_piece,
            tagged_frames_arrive_with_their_tag,
            the_host_logs_in,
            megabytes_of_the_host_arrive_as_they_were_sent,
        );
        assert_eq!(links(), before, "a link came into the main namespace");
    })
    .await;
    assert_eq!(links(), before, "a link was left in the main namespace");
}

async fn all_reach_each_other_on_every_net(cluster: &Cluster) {
    for (net, members) in NETS {
        for from in members {
            let others = members.iter().filter(|to| *to != from).map(u8::to_string).chain(["250".to_owned()]);
            for to in others {
                for address in both(&format!("192.168.{net}.{to}")) {
                    let answer = run(cluster, *from, format!("ping -c1 -W5 {address}")).await;
                    // Whoever sends more hops away has less.
                    assert!(answer.contains("ttl=64"), "{answer}");
                }
            }
        }
    }
    let elsewhere = attempt(cluster, 1, "arping -c1 -w1 -I eth1 192.168.2.221").await;
    assert!(!elsewhere.status.success(), "{}", elsewhere.text());
}

async fn nodes_and_testers_reach_each_other_over_the_router(cluster: &Cluster) {
    for (from, to) in [(221, "192.168.1.1"), (2, "192.168.2.221")] {
        for address in both(to) {
            let answer = run(cluster, from, format!("ping -c1 -W5 {address}")).await;
            assert!(answer.contains("ttl=63"), "{answer}");
        }
    }
}

/// Nobody but the other guest would find a wrong checksum.
async fn megabytes_arrive_as_they_were_sent(cluster: &Cluster) {
    let server = serving(cluster, 2, 7000, "sha256sum").await;
    let sent = run(cluster, 1, "head -c 4194304 /dev/urandom >/tmp/sent; sha256sum </tmp/sent").await;
    for net in ["192.168.0.2", "192.168.1.2"] {
        for address in both(net) {
            assert_eq!(run(cluster, 1, format!("nc {address} 7000 </tmp/sent")).await, sent, "to {address}");
        }
    }
    drop(server);
}

async fn packets_of_the_whole_mtu_arrive_in_one_piece(cluster: &Cluster) {
    let before = fragments(cluster).await;
    for to in ["0.2", "0.201", "0.250", "1.2", "1.201", "1.250"] {
        for (prefix, size) in WHOLE {
            run(cluster, 1, format!("ping -c1 -W5 -s {size} {prefix}{to}")).await;
        }
    }
    assert_eq!(fragments(cluster).await, before);
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

async fn tagged_frames_arrive_with_their_tag(cluster: &Cluster) {
    for node in [1, 2] {
        let add = "modprobe 8021q; ip link add link eth1 name eth1.7 type vlan id 7 && ip link set eth1.7 up";
        run(cluster, node, format!("{add} && ip address add 10.7.0.{node}/24 dev eth1.7")).await;
    }
    run(cluster, 1, "ping -c1 -W5 -s 8972 10.7.0.2").await;
}

async fn the_host_logs_in(cluster: &Cluster) {
    for node in cluster.nodes() {
        let mut said = [0; 4];
        connect(&node, 22).await.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"SSH-", "{}", node.name());
    }
}

async fn connect(node: &Node, port: u16) -> TcpStream {
    let stream = node.connect(port).await.unwrap();
    stream.set_nonblocking(true).unwrap();
    TcpStream::from_std(stream).unwrap()
}

/// There and back: the node answers with what it got.
async fn megabytes_of_the_host_arrive_as_they_were_sent(cluster: &Cluster) {
    let sent: Vec<u8> = (0..4 << 20).map(|index: u32| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect();
    let server = serving(cluster, 2, 7002, "cat").await;
    let (mut receiving, mut sending) = connect(&cluster.node(2).unwrap(), 7002).await.into_split();
    let mut got = Vec::new();
    let send = async {
        sending.write_all(&sent).await?;
        sending.shutdown().await
    };
    tokio::try_join!(send, receiving.read_to_end(&mut got)).unwrap();
    assert!(sent == got, "{} bytes came back of {}, or others", got.len(), sent.len());
    drop(server);
}
