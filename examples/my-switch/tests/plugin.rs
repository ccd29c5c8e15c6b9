//! The tests of the plugin, in one test target: the conformance suite, and a cluster of real VMs.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use xcluster_core::Cluster;
use xcluster_core::external::{PluginBackend, PluginConfig};
use xcluster_core::net::NetBackend;
use xcluster_core::testing::scenarios::Scenario;
use xcluster_core::testing::{conformance, harness, scenarios};

fn main() -> ExitCode {
    // A plugin starts threads: `main_with` loads it when they are allowed.
    harness::main_with(tests)
}

fn tests() -> Vec<harness::Test> {
    let subject = conformance::Subject::new(|| Arc::new(plugin()) as Arc<dyn NetBackend>);
    let contract = conformance::trials(&subject).into_iter().map(conformance::Trial::into_test);
    let vms = harness::test("a_cluster_does_what_the_plugin_promises", || async {
        let subject = scenarios::Subject::new(|| Cluster::builder().backend(plugin()));
        scenarios::check(&subject, Scenario::Everyday).await;
        Ok(())
    });
    contract.chain([vms]).collect()
}

/// The library that `PLUGIN` names, in any language; else the one that cargo has built beside this test.
fn plugin() -> PluginBackend {
    let test = env::current_exe().expect("the path of the test program is known");
    let folder = test.ancestors().nth(2).expect("the test program is in the target folder");
    let ours = || folder.join("examples/libxcluster_net_switch.so");
    let library = env::var_os("PLUGIN").map_or_else(ours, PathBuf::from);
    PluginBackend::load(PluginConfig::new(library)).unwrap_or_else(|error| panic!("{error}"))
}
