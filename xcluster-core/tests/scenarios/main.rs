//! The scenarios with real VMs: each expectation fails on a lying backend, and all hold on a net-setup script of a user. Each test
//! has its own network namespace, since such a script does not lock its ports and groups.

mod lying_backend;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU16, Ordering};

use xcluster_core::Cluster;
use xcluster_core::external::{ScriptBackend, ScriptConfig, ScriptNet};
use xcluster_core::net::VmToVm;
use xcluster_core::testing::harness;
use xcluster_core::testing::scenarios::{self, Expectation, Scenario, Subject};
use xcluster_core::testing::{TestFailure, ensure};

use lying_backend::LyingBackend;

/// What UDP over IPv4 carries, without an Ethernet header.
const MCAST_MTU: u16 = 65535 - 20 - 8 - 14;

fn main() -> ExitCode {
    harness::main(vec![
        harness::test("a_userspace_script_does_what_it_promises", || async {
            scenarios::check(&userspace(), Scenario::Everyday).await;
            Ok(())
        }),
        harness::test("every_expectation_fails_on_a_lying_backend", every_expectation_fails_on_a_lying_backend),
    ])
}

/// A part of the failure of each expectation.
const REASONS: [(Expectation, &str); 12] = [
    (Expectation::NodesTogether, "node 1 does not reach these"),
    (Expectation::Megabytes, "to 192.168.0.2"),
    (Expectation::NetsApart, "heard on a wrong NIC"),
    (Expectation::WholeMtu, "ping -c1 -W3 -s 8972 192.168.1.2"),
    (Expectation::Offloads, "bit 0 of eth0 is not agreed"),
    (Expectation::HostLogsIn, "port 22"),
    (Expectation::HostMegabytes, "port 7002"),
    (Expectation::NodesReachTheHost, "node 1 to 192.168.0.250"),
    (Expectation::ClustersApart, "these addresses of the other cluster answer"),
    (Expectation::Restart, "the port was torn down before"),
    (Expectation::EveryNic, "00:00:00:01:17:01 is not in"),
    (Expectation::EveryNetOfMany, "these addresses do not answer"),
];

async fn every_expectation_fails_on_a_lying_backend() -> Result<(), TestFailure> {
    let mut failed = Vec::new();
    for scenario in [Scenario::Everyday, Scenario::ManyNics] {
        let lying_backend = LyingBackend::default();
        let subject = Subject::new(move || Cluster::builder().backend(lying_backend.clone()));
        failed.extend(scenarios::failures(&subject, scenario).await);
    }
    for expectation in Expectation::ALL {
        let why = failed.iter().find(|(other, _)| *other == expectation).map(|(_, why)| why.as_str());
        let reason = REASONS.iter().find(|(other, _)| *other == expectation).map_or("", |(_, reason)| reason);
        ensure(why.is_some_and(|why| why.contains(reason)), || {
            format!("{expectation:?}: expected `{reason}`, got {why:?}")
        })?;
    }
    Ok(())
}

/// A script whose user chooses other multicast groups for each cluster; its nodes have ports by their numbers.
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
