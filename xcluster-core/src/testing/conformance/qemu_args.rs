//! Trials of the args for QEMU: number 7.

use std::collections::BTreeMap;

use super::fixture::Fixture;
use super::{ContractCase, Subject, Trial};
use crate::net::{KvmArgs, Port, PortConfig};
use crate::testing::qemu::Qemu;
use crate::testing::{TestFailure, ensure};

/// The machine type of a node. QEMU does not run the guest, which would only cost time.
const MACHINE: [&str; 3] = ["-S", "-M", "pc"];

pub(super) fn add(subject: &Subject, trials: &mut Vec<Trial>) {
    trials.push(Trial::new(subject, ContractCase::ArgsAtTheStart, at_the_start));
    if subject.promises(|promise| ContractCase::ArgsWhileItRuns.is_promised_by(promise)) {
        trials.push(Trial::new(subject, ContractCase::ArgsWhileItRuns, while_it_runs));
    }
}

/// Each node with all of its NICs.
async fn at_the_start(subject: Subject) -> Result<(), TestFailure> {
    let fixture = Fixture::new(&subject, "started")?;
    let port_configs = fixture.begin().await?;
    for node in nodes(&fixture.ports, &port_configs) {
        for (port, kvm) in &node {
            complete(port, kvm)?;
        }
        let nics: Vec<&KvmArgs> = node.iter().map(|(_, kvm)| *kvm).collect();
        Qemu::start(&MACHINE, &nics, BTreeMap::new()).await?.end().await;
    }
    Ok(fixture.end().await?)
}

async fn while_it_runs(subject: Subject) -> Result<(), TestFailure> {
    let fixture = Fixture::new(&subject, "plugged")?;
    let port_configs = fixture.begin().await?;
    for node in nodes(&fixture.ports, &port_configs) {
        let qemu = Qemu::start(&MACHINE, &[], BTreeMap::new()).await?;
        let mut plugged = Ok(());
        for (port, kvm) in node {
            if plugged.is_ok() && subject.capabilities(&port.net).hotplug {
                plugged = qemu.plug(kvm).await;
            }
        }
        qemu.end().await;
        plugged?;
    }
    Ok(fixture.end().await?)
}

/// The NICs, node by node.
fn nodes<'a>(ports: &'a [Port], port_configs: &'a [PortConfig]) -> Vec<Vec<(&'a Port, &'a KvmArgs)>> {
    let nics: Vec<(&Port, &KvmArgs)> =
        ports.iter().zip(port_configs.iter().map(|port_config| &port_config.kvm)).collect();
    nics.chunk_by(|(a, _), (b, _)| a.node == b.node).map(<[_]>::to_vec).collect()
}

fn complete(port: &Port, kvm: &KvmArgs) -> Result<(), TestFailure> {
    let missing = kvm.missing_descriptors();
    let what = || format!("{} on net {}: `{kvm}`", port.node, port.net.id);
    ensure(missing.is_empty(), || format!("{} has no descriptor for {}", what(), missing.join(", ")))?;
    ensure(kvm.devices().next().is_some(), || format!("{} has no device", what()))
}
