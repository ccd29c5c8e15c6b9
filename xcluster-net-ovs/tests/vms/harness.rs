//! The builder of clusters on Open vSwitch. `testing::cluster_harness` runs a scenario.

use xcluster_core::{Builder, Cluster, Execution};
use xcluster_net_ovs::{OvsBackend, OvsConfig};

pub(crate) use xcluster_core::expectations;
use xcluster_core::testing::cluster_harness::is_usable;
pub(crate) use xcluster_core::testing::cluster_harness::{attempt, both, links, run, scenario};

/// A cluster on this backend.
pub(crate) fn builder(config: OvsConfig) -> Builder {
    Cluster::builder().backend(OvsBackend::new(config))
}

/// Whether this host can carry this backend; prints why not.
pub(crate) fn is_possible() -> bool {
    is_usable(&OvsBackend::default())
}

/// Makes a node run a program for each connection to a port, until this value is dropped.
pub(crate) async fn serving(cluster: &Cluster, node: u8, port: u16, program: &str) -> Execution {
    let server = cluster.node(node).unwrap().spawn(format!("nc -ll -p {port} -e {program}")).await.unwrap();
    // There is no event for a listening port. The command's deadline ends the wait.
    run(cluster, node, format!("until netstat -ltn | grep -q :{port}; do usleep 50000; done")).await;
    server
}
