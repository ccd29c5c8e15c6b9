//! The scenarios of every backend, with real VMs, on a script as users have them. It is in a network namespace of its own, since
//! such a script has ports and groups of its own choice.

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU16, Ordering};

use xcluster_core::Cluster;
use xcluster_core::external::{ScriptBackend, ScriptConfig, ScriptNet};
use xcluster_core::net::VmToVm;
use xcluster_core::testing::harness;
use xcluster_core::testing::scenarios::{self, Scenario, Subject};

/// What UDP over IPv4 carries, without an Ethernet header.
const MCAST_MTU: u16 = 65535 - 20 - 8 - 14;

fn main() -> ExitCode {
    let test = harness::test("a_userspace_script_does_what_it_promises", || async {
        scenarios::check(&userspace(), Scenario::Everyday).await;
        Ok(())
    });
    harness::main(vec![test])
}

/// Each cluster has groups of its own, as its user sees to; its nodes have ports by their numbers.
fn userspace() -> Subject {
    let ports = AtomicU16::new(27030);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/script/net-setup-userspace.sh");
    Subject::new(move || {
        let port = ports.fetch_add(1, Ordering::Relaxed);
        let config = ScriptConfig::new(&script)
            .with_env("MCAST_PORT", port.to_string())
            .promising_internal(ScriptNet::new(true, VmToVm::None, 1500))
            .promising_others(ScriptNet::new(false, VmToVm::Hub, MCAST_MTU));
        Cluster::builder().backend(ScriptBackend::new(config))
    })
}
