//! What every scenario on user-space networking begins with. How one runs is the same for all backends.

use xcluster_core::{Builder, Cluster};
use xcluster_net_user::UserBackend;

pub(crate) use xcluster_core::claims;
pub(crate) use xcluster_core::testing::lab::{Traces, attempt, begin, boots, failure, need, run, scenario, told};

/// A cluster on this backend.
pub(crate) fn builder() -> Builder {
    Cluster::builder().backend(UserBackend::default())
}
