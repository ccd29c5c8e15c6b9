//! The conformance suite of network backends on this plugin, loaded as a host loads it.

use std::process::ExitCode;
use std::sync::Arc;

use xcluster_core::external::{PluginBackend, PluginConfig};
use xcluster_core::net::{NetBackend, Settings};
use xcluster_core::testing::conformance::{Subject, Trial, trials};
use xcluster_core::testing::{TestFailure, ensure, harness};
use xcluster_core::topology::NetKind;

fn main() -> ExitCode {
    // A plugin starts threads: `main_with` loads it when they are allowed.
    harness::main_with(tests)
}

fn tests() -> Vec<harness::Test> {
    let subject = Subject::new(|| Arc::new(plugin()) as Arc<dyn NetBackend>);
    let contract = trials(&subject).into_iter().map(Trial::into_test);
    let own =
        [harness::test("settings_reach_it_and_mistakes_are_reported", settings_reach_it_and_mistakes_are_reported)];
    contract.chain(own).collect()
}

/// The library that cargo has built for this test.
fn plugin() -> PluginBackend {
    let program = std::env::current_exe().expect("the path of the test program is known");
    let library = program.with_file_name("libxcluster_net_repeater.so");
    PluginBackend::load(PluginConfig::new(&library)).unwrap_or_else(|error| panic!("{error}"))
}

async fn settings_reach_it_and_mistakes_are_reported() -> Result<(), TestFailure> {
    let settings = |key: &str, value: u32| -> Settings { [(key.to_owned(), value.into())].into_iter().collect() };
    let small =
        plugin().configured(&settings("mtu_max", 1400)).map_err(|problems| TestFailure::new(problems.to_string()))?;
    ensure(small.capabilities(NetKind::Cluster).mtu_max == 1400, || format!("{small:?}"))?;
    let said =
        plugin().configured(&settings("mtu", 1400)).err().map(|problems| problems.to_string()).unwrap_or_default();
    ensure(said.contains("mtu: ") && said.contains("unknown field"), || said)
}
