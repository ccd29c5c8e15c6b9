//! The scenarios with real VMs on the switch.

use my_switch::SwitchBackend;
use xcluster_core::Cluster;
use xcluster_core::testing::scenarios::Subject;

fn subject() -> Subject {
    Subject::new(|| Cluster::builder().backend(SwitchBackend::default()))
}

xcluster_core::scenarios!(subject);
