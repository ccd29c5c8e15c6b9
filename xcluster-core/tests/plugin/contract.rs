//! The example plugin in C keeps the contract of backends.

use std::process::Command;
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;
use xcluster_core::external::PluginBackend;
use xcluster_core::net::{NetBackend, Settings};
use xcluster_core::testing::conformance::{Subject, Trial, trials};
use xcluster_core::testing::harness::Test;
use xcluster_core::testing::{TestFailure, ensure};

use super::fixture::{SOON, compile, error_text, load, own};
use super::named;

pub(crate) fn tests() -> Vec<Test> {
    let subject = Subject::new(|| Arc::new(switch()) as Arc<dyn NetBackend>);
    let contract = trials(&subject).into_iter().map(Trial::into_test);
    contract
        .chain(named![its_name_and_version_are_known_at_once, unknown_settings_are_refused, its_makefile_makes_it])
        .collect()
}

/// The example, compiled once for all trials.
fn switch() -> PluginBackend {
    static LIBRARY: OnceLock<(TempDir, std::path::PathBuf)> = OnceLock::new();
    let (_, library) =
        LIBRARY.get_or_init(|| compile(&own("../examples/plugin-c/switch.c"), &[]).expect("it compiles"));
    load(library, SOON).unwrap_or_else(|error| panic!("{}", error_text(&error)))
}

async fn its_name_and_version_are_known_at_once() -> Result<(), TestFailure> {
    let switch = switch();
    ensure((switch.name(), switch.version()) == ("c-switch", "1.0"), || format!("{switch:?}"))?;
    Ok(switch.usable()?)
}

async fn unknown_settings_are_refused() -> Result<(), TestFailure> {
    let settings: Settings = [("colour".to_owned(), "red".into())].into_iter().collect();
    let said = switch().configured(&settings).err().map(|problems| problems.to_string()).unwrap_or_default();
    ensure(said.contains("has no settings"), || said)?;
    switch().configured(&Settings::new()).map(drop).map_err(|problems| TestFailure::new(problems.to_string()))
}

/// With the commands of the guide for authors.
async fn its_makefile_makes_it() -> Result<(), TestFailure> {
    let folder = tempfile::tempdir()?;
    let target = folder.path().join("libxcluster_net_c_switch.so");
    let mut make = Command::new("make");
    let sources = own("../examples/plugin-c");
    make.arg("-C").arg(sources).arg(format!("TO={}", folder.path().display())).env_remove("MAKEFLAGS");
    let output = make.output()?;
    ensure(output.status.success() && target.is_file(), || String::from_utf8_lossy(&output.stderr).into_owned())
}
