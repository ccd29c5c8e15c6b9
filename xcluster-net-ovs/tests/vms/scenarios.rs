//! The scenarios of every backend, on this one.

use xcluster_core::testing::scenarios::Subject;
use xcluster_net_ovs::OvsConfig;

use crate::harness::builder;

fn subject() -> Subject {
    Subject::new(|| builder(OvsConfig::default()))
}

xcluster_core::scenarios!(subject);
