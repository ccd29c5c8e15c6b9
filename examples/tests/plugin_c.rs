//! The scenarios with real VMs on [the switch in C](../plugin-c/switch.c), loaded as a plugin.

use xcluster_core::Cluster;
use xcluster_core::testing::scenarios::Subject;
use xcluster_examples::c_plugin;

fn subject() -> Subject {
    Subject::new(|| Cluster::builder().backend(c_plugin()))
}

xcluster_core::scenarios!(subject; a_cluster_does_what_the_plugin_promises: Everyday);
