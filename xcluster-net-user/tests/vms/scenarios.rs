//! The scenarios of every backend, on this one.

use xcluster_core::testing::scenarios::Subject;

use crate::harness::builder;

fn subject() -> Subject {
    Subject::new(builder)
}

xcluster_core::scenarios!(subject);
