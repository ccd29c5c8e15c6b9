//! Common kinds of scripts keep the contract of network backends.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use xcluster_core::external::{ScriptBackend, ScriptConfig, ScriptNet};
use xcluster_core::host::{Namespace, Netns};
use xcluster_core::net::{NetBackend, VmToVm};
use xcluster_core::testing::TestFailure;
use xcluster_core::testing::conformance::{Subject, Trial, trials};
use xcluster_core::testing::harness::{self, Test};

use crate::fixture::ip;

/// The payload of UDP over IPv4, without an Ethernet header.
const MCAST_MTU: u16 = 65535 - 20 - 8 - 14;

pub(crate) fn tests() -> Vec<Test> {
    let userspace = trials(&userspace()).into_iter().map(Trial::into_test);
    // Taps have the names of the original xcluster, so a namespace has only one cluster.
    let alone = |trial: &Trial| !trial.name.contains("another cluster") && !trial.name.contains("two clusters");
    let here = trials(&taps()).into_iter().filter(alone).map(on_bridges);
    // A bridge that a script makes stays, so the host does not look as before.
    let inside = trials(&taps_inside()).into_iter().filter(|trial| trial.number != 8).map(|mut trial| {
        trial.name = format!("taps inside: {}", trial.name);
        trial.into_test()
    });
    userspace.chain(here).chain(inside).collect()
}

fn script(name: &str) -> ScriptConfig {
    ScriptConfig::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/script").join(name))
}

/// Each cluster has its own groups, which a user has to configure.
fn userspace() -> Subject {
    let ports = AtomicU16::new(27030);
    Subject::new(move || {
        let port = ports.fetch_add(1, Ordering::Relaxed);
        let config = script("net-setup-userspace.sh")
            .with_env("MCAST_PORT", port.to_string())
            .promising_internal(ScriptNet::new(true, VmToVm::None, 1500))
            .promising_others(ScriptNet::new(false, VmToVm::Hub, MCAST_MTU));
        Arc::new(ScriptBackend::new(config)) as Arc<dyn NetBackend>
    })
}

fn taps() -> Subject {
    Subject::new(|| Arc::new(ScriptBackend::new(script("net-setup-taps.sh"))) as Arc<dyn NetBackend>)
}

/// In the namespace of each cluster.
fn taps_inside() -> Subject {
    let config = script("net-setup-taps.sh").with_env("MAKE_BRIDGES", "1").in_namespace(true);
    let backend = move || Arc::new(ScriptBackend::new(config.clone())) as Arc<dyn NetBackend>;
    Subject::new(backend).in_netns(Netns::Private)
}

/// A trial in a namespace with bridges, which the host is on.
fn on_bridges(trial: Trial) -> Test {
    let name_parts: Vec<&str> =
        trial.name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let name = format!("contract_{}_taps_here_{}", trial.number, name_parts.join("_").to_lowercase());
    harness::test(name, || async {
        make_bridges()?;
        trial.run().await
    })
}

fn make_bridges() -> Result<(), TestFailure> {
    let here = Namespace::here();
    for net in 0..3 {
        ip(&here, &format!("link add xcbr{net} type bridge"))?;
        ip(&here, &format!("address add 192.168.{net}.250/24 dev xcbr{net}"))?;
        ip(&here, &format!("address add 1000::1:192.168.{net}.250/120 dev xcbr{net} nodad"))?;
        ip(&here, &format!("link set xcbr{net} up"))?;
    }
    Ok(())
}
