//! Claims about the nets: who reaches whom, in both IP versions.

use xcluster_core::{Cluster, Execution};

use crate::lab::{attempt, both, run};

/// The members of each net.
const NETS: [(u8, &[u8]); 3] = [(0, &[1, 2, 201, 221]), (1, &[1, 2, 201]), (2, &[201, 221])];

/// Also on the internal one.
pub(crate) async fn all_reach_each_other_on_every_net(cluster: &Cluster) {
    for (net, members) in NETS {
        for from in members {
            for to in members.iter().filter(|to| *to != from) {
                for address in both(&format!("192.168.{net}.{to}")) {
                    let answer = run(cluster, *from, format!("ping -c1 -W5 {address}")).await;
                    // Whoever sends more hops away has less.
                    assert!(answer.contains("ttl=64"), "{answer}");
                }
            }
        }
    }
    // Who is on several answers for each of its addresses on all of them; a tester is not on the cluster net.
    let elsewhere = attempt(cluster, 1, "arping -c1 -w1 -I eth1 192.168.2.221").await;
    assert!(!elsewhere.status.success(), "{}", elsewhere.text());
}

pub(crate) async fn nodes_and_testers_reach_each_other_over_the_router(cluster: &Cluster) {
    for (from, to) in [(221, "192.168.1.1"), (2, "192.168.2.221")] {
        for address in both(to) {
            let answer = run(cluster, from, format!("ping -c1 -W5 {address}")).await;
            assert!(answer.contains("ttl=63"), "{answer}");
        }
    }
}

/// With all offloads, so that nobody but the other guest would find a wrong checksum.
pub(crate) async fn megabytes_arrive_as_they_were_sent(cluster: &Cluster) {
    let server = serving(cluster, 2, 7000, "sha256sum").await;
    let sent = run(cluster, 1, "head -c 4194304 /dev/urandom >/tmp/sent; sha256sum </tmp/sent").await;
    for net in ["192.168.0.2", "192.168.1.2"] {
        for address in both(net) {
            assert_eq!(run(cluster, 1, format!("nc {address} 7000 </tmp/sent")).await, sent, "to {address}");
        }
    }
    drop(server);
}

/// Has a node run a program for whoever connects to a port, until this value is dropped.
pub(crate) async fn serving(cluster: &Cluster, node: u8, port: u16, program: &str) -> Execution {
    let server = cluster.node(node).unwrap().spawn(format!("nc -ll -p {port} -e {program}")).await.unwrap();
    // Nothing tells when it listens. The command's own deadline ends the wait.
    run(cluster, node, format!("until netstat -ltn | grep -q :{port}; do usleep 50000; done")).await;
    server
}
