//! The scenarios of every backend, with real VMs, on a host's Open vSwitch that only the test uses.

use std::process::ExitCode;

use tempfile::tempdir;
use xcluster_core::Cluster;
use xcluster_core::host::Netns;
use xcluster_core::testing::harness;
use xcluster_core::testing::scenarios::{self, Scenario, Subject};
use xcluster_net_ovs::testing::HostSwitch;
use xcluster_net_ovs::{OvsBackend, OvsConfig};

fn main() -> ExitCode {
    let test = harness::test("a_cluster_does_what_the_hosts_switch_promises", || async {
        let dir = tempdir()?;
        let host = HostSwitch::start(dir.path()).await?;
        // With the host on its nets, no other cluster can have nets of these numbers.
        let config = OvsConfig::default().on_system(host.db());
        let make = move || Cluster::builder().backend(OvsBackend::new(config.clone())).netns(Netns::Here);
        scenarios::check(&Subject::new(make).alone(), Scenario::Everyday).await;
        Ok(host.end().await?)
    });
    harness::main(vec![test])
}
