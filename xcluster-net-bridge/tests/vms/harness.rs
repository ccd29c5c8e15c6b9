//! What every scenario on bridges begins with, and the host that must not notice. How one runs is the same for all backends.

use std::collections::BTreeSet;

use xcluster_core::net::NetBackend;
use xcluster_core::{Builder, Cluster};
use xcluster_net_bridge::BridgeBackend;

pub(crate) use xcluster_core::expectations;
pub(crate) use xcluster_core::testing::cluster_harness::{attempt, run, scenario};

/// A cluster on this backend.
pub(crate) fn builder() -> Builder {
    Cluster::builder().backend(BridgeBackend::default())
}

/// Whether this host lets its users have bridges. Where tests must not be skipped it does, or this panics.
pub(crate) fn is_possible() -> bool {
    let usable = BridgeBackend::default().usable();
    if let Err(error) = &usable {
        assert!(std::env::var_os("CI").is_none(), "{error}");
        eprintln!("not tested: this host does not let its users have bridges: {error}");
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
