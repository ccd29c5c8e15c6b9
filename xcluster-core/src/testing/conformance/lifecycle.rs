//! Trials of the calls and their results: numbers 1, 2, 5 and 6.

use futures::future::try_join_all;

use super::fixture::Fixture;
use super::{ContractCase, Subject, Trial};
use crate::name::NodeId;
use crate::net::{Net, NetError, Port, PortConfig};
use crate::testing::{TestFailure, ensure};

pub(super) fn add(subject: &Subject, trials: &mut Vec<Trial>) {
    trials.push(Trial::new(subject, ContractCase::RepeatedSetup, repeated_setup));
    trials.push(Trial::new(subject, ContractCase::AddedPorts, added_ports));
    trials.push(Trial::new(subject, ContractCase::TeardownOfAbsent, teardown_of_what_is_absent));
    trials.push(Trial::new(subject, ContractCase::SetupsAtOnce, setups_at_the_same_time));
    trials.push(Trial::new(subject, ContractCase::SetupTooEarly, |subject| async {
        failed_setup(subject, |_, _| {}, false).await
    }));
    trials.push(Trial::new(subject, ContractCase::SetupOfTooMuch, |subject| async {
        failed_setup(subject, |net, max| net.mtu = max.saturating_add(1), true).await
    }));
}

async fn repeated_setup(subject: Subject) -> Result<(), TestFailure> {
    let fixture = Fixture::new(&subject, "repeated")?;
    let first = fixture.begin().await?;
    let before = fixture.look(&subject);
    // A cluster that is extended calls for everything again.
    fixture.create().await.map_err(|error| TestFailure::from(error).during("in a repeated call"))?;
    let second = fixture.set_up().await.map_err(|error| TestFailure::from(error).during("in a repeated call"))?;
    for ((port, first), second) in fixture.ports.iter().zip(&first).zip(&second) {
        same(port, first, second)?;
    }
    fixture.look(&subject).same_as(&before).map_err(|failed| failed.during("after the second setup"))
}

/// For a cluster that gets another node and another net, preflight gets only what is new.
async fn added_ports(subject: Subject) -> Result<(), TestFailure> {
    let mut fixture = Fixture::new(&subject, "added")?;
    let (all_nets, all_ports) = (fixture.nets.clone(), fixture.ports.clone());
    let last_net = all_nets.last().map(|net| net.id).filter(|_| all_nets.len() > 1);
    let last_node = all_ports.last().map(|port| port.node);
    let is_new = |port: &Port| Some(port.net.id) == last_net || Some(port.node) == last_node;
    (fixture.nets, fixture.ports) = (all_nets.clone(), all_ports.clone());
    fixture.nets.retain(|net| Some(net.id) != last_net);
    fixture.ports.retain(|port| !is_new(port));
    let (old_ports, first) = (fixture.ports.clone(), fixture.begin().await?);

    fixture.nets = all_nets.iter().filter(|net| Some(net.id) == last_net).cloned().collect();
    fixture.ports = all_ports.iter().filter(|port| is_new(port)).cloned().collect();
    let added = fixture.begin().await.map_err(|error| TestFailure::from(error).during("adding to a cluster"))?;

    let known = old_ports.iter().zip(&first).chain(fixture.ports.iter().zip(&added));
    let context = fixture.test_context.context();
    for (port, port_config) in known {
        let again = fixture.backend.setup(&context, port).await;
        same(
            port,
            port_config,
            &again.map_err(|error| TestFailure::from(error).during("in a repeated call after that"))?,
        )?;
    }
    (fixture.nets, fixture.ports) = (all_nets, all_ports);
    Ok(fixture.end().await?)
}

fn same(port: &Port, first: &PortConfig, second: &PortConfig) -> Result<(), TestFailure> {
    let what = || format!("{} on net {}", port.node, port.net.id);
    ensure(first.kvm == second.kvm, || format!("{}: first `{}`, then `{}`", what(), first.kvm, second.kvm))?;
    ensure(first.access == second.access, || format!("{}: first {:?}, then {:?}", what(), first.access, second.access))
}

async fn teardown_of_what_is_absent(subject: Subject) -> Result<(), TestFailure> {
    let fixture = Fixture::new(&subject, "absent")?;
    fixture.end().await.map_err(|error| TestFailure::from(error).during("before any setup"))?;
    fixture.begin().await?;
    fixture.end().await?;
    fixture.end().await.map_err(|error| TestFailure::from(error).during("a second time"))
}

/// The ports of many nodes are set up at once, and each node gets its own NIC.
async fn setups_at_the_same_time(subject: Subject) -> Result<(), TestFailure> {
    let mut fixture = Fixture::new(&subject, "crowd")?;
    let nodes = (1..=20).map(NodeId::new).collect::<Result<Vec<_>, _>>()?;
    fixture.ports = subject.ports(&nodes, &fixture.nets).collect();
    fixture.create().await?;
    let context = fixture.test_context.context();
    let together = try_join_all(fixture.ports.iter().map(|port| fixture.backend.setup(&context, port))).await?;
    for (port, port_config) in fixture.ports.iter().zip(&together) {
        let mac = format!("mac={}", port.mac);
        let own = port_config.kvm.devices().any(|device| device.split(',').any(|property| property == mac));
        ensure(own, || format!("{} on net {} gets `{}`, not `{mac}`", port.node, port.net.id, port_config.kvm))?;
    }
    Ok(fixture.end().await?)
}

/// A setup that should fail, in any call. The usual teardown removes what it made until then.
async fn failed_setup(subject: Subject, spoil: impl Fn(&mut Net, u16), create: bool) -> Result<(), TestFailure> {
    let mut nets = subject.nets.clone();
    for net in &mut nets {
        let max = subject.capabilities(net).mtu_max;
        spoil(net, max);
    }
    let fixture = Fixture::on(&subject, "failed", nets)?;
    let watch = fixture.watch(&subject);
    let before = watch.look();
    let begun = async {
        if create {
            fixture.create().await?;
        }
        fixture.set_up().await
    };
    let begun: Result<Vec<PortConfig>, NetError> = begun.await;
    let text = if begun.is_ok() { "a setup that should have failed" } else { "a failed setup" };
    fixture.end().await.map_err(|error| TestFailure::from(error).during(format!("teardown after {text}")))?;
    drop(fixture);
    watch.look().same_as(&before).map_err(|failed| failed.during(format!("after {text} and its teardown")))
}
