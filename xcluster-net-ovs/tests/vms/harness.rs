//! What every scenario on Open vSwitch begins with. How one runs is the same for all backends.

use std::collections::BTreeSet;

use xcluster_core::net::NetBackend;
use xcluster_core::{Builder, Cluster, Execution};
use xcluster_net_ovs::{OvsBackend, OvsConfig};

pub(crate) use xcluster_core::expectations;
pub(crate) use xcluster_core::testing::cluster_harness::{attempt, run, scenario};

/// A cluster on this backend.
pub(crate) fn builder(config: OvsConfig) -> Builder {
    Cluster::builder().backend(OvsBackend::new(config))
}

/// Whether this host can. Where tests must not be skipped it can, or this panics.
pub(crate) fn is_possible() -> bool {
    let usable = OvsBackend::default().usable();
    if let Err(error) = &usable {
        assert!(std::env::var_os("CI").is_none(), "{error}");
        eprintln!("not tested: this host cannot have an Open vSwitch of one's own: {error}");
    }
    usable.is_ok()
}

/// The links of the namespace that everybody starts in.
pub(crate) fn links() -> BTreeSet<String> {
    let table = std::fs::read_to_string("/proc/self/net/dev").expect("there is a network");
    table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// The same network in both IP versions.
pub(crate) fn both(ipv4: &str) -> [String; 2] {
    [ipv4.to_owned(), format!("1000::1:{ipv4}")]
}

/// Has a node run a program for whoever connects to a port, until this value is dropped.
pub(crate) async fn serving(cluster: &Cluster, node: u8, port: u16, program: &str) -> Execution {
    let server = cluster.node(node).unwrap().spawn(format!("nc -ll -p {port} -e {program}")).await.unwrap();
    // Nothing tells when it listens. The command's own deadline ends the wait.
    run(cluster, node, format!("until netstat -ltn | grep -q :{port}; do usleep 50000; done")).await;
    server
}
