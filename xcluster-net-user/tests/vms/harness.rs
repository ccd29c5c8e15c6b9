//! The builder of clusters on user-space networking. `testing::cluster_harness` runs a scenario.

use xcluster_core::{Builder, Cluster};
use xcluster_net_user::UserBackend;

pub(crate) use xcluster_core::expectations;
pub(crate) use xcluster_core::testing::cluster_harness::{Traces, attempt, begin, boots, failure, need, run, scenario};

/// A cluster on this backend.
pub(crate) fn builder() -> Builder {
    Cluster::builder().backend(UserBackend::default())
}
