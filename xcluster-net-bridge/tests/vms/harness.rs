//! The builder of clusters on bridges. `testing::cluster_harness` runs a scenario.

use xcluster_core::{Builder, Cluster};
use xcluster_net_bridge::BridgeBackend;

pub(crate) use xcluster_core::expectations;
use xcluster_core::testing::cluster_harness::is_usable;
pub(crate) use xcluster_core::testing::cluster_harness::{attempt, both, links, run, scenario};

/// A cluster on this backend.
pub(crate) fn builder() -> Builder {
    Cluster::builder().backend(BridgeBackend::default())
}

/// Whether this host can carry this backend; prints why not.
pub(crate) fn is_possible() -> bool {
    is_usable(&BridgeBackend::default())
}
