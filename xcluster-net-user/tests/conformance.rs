//! The user backend keeps the contract of network backends.

use std::process::ExitCode;
use std::sync::Arc;

use xcluster_core::net::NetBackend;
use xcluster_core::testing::{conformance, harness};
use xcluster_net_user::UserBackend;

fn main() -> ExitCode {
    let subject = conformance::Subject::new(|| Arc::new(UserBackend::default()) as Arc<dyn NetBackend>);
    harness::main(conformance::trials(&subject).into_iter().map(conformance::Trial::into_test).collect())
}
