//! The conformance suite of network backends on the switch.

use std::process::ExitCode;
use std::sync::Arc;

use my_switch::SwitchBackend;
use xcluster_core::net::NetBackend;
use xcluster_core::testing::{conformance, harness};

fn main() -> ExitCode {
    let subject = conformance::Subject::new(|| Arc::new(SwitchBackend::default()) as Arc<dyn NetBackend>);
    harness::main(conformance::trials(&subject).into_iter().map(conformance::Trial::into_test).collect())
}
