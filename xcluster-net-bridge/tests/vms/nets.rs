//! Expectations about routes between nets: over routers, in both IP versions.

use xcluster_core::Cluster;

use crate::harness::{both, run};

pub(crate) async fn nodes_and_testers_reach_each_other_over_the_router(cluster: &Cluster) {
    for (from, to) in [(221, "192.168.1.1"), (2, "192.168.2.221")] {
        for address in both(to) {
            let answer = run(cluster, from, format!("ping -c1 -W5 {address}")).await;
            assert!(answer.contains("ttl=63"), "{answer}");
        }
    }
}
