//! Trials of the calls and their answers: numbers 1, 2, 5 and 6.

use futures::future::try_join_all;

use super::scene::Scene;
use super::{Part, Subject, Trial};
use crate::name::NodeId;
use crate::net::{Net, NetError, Port, PortConfig};
use crate::testing::{Failed, ensure};

pub(super) fn add(subject: &Subject, trials: &mut Vec<Trial>) {
    trials.push(Trial::new(subject, Part::RepeatedSetup, repeated_setup));
    trials.push(Trial::new(subject, Part::AddedPorts, added_ports));
    trials.push(Trial::new(subject, Part::TeardownOfAbsent, teardown_of_what_is_absent));
    trials.push(Trial::new(subject, Part::SetupsAtOnce, setups_at_the_same_time));
    trials.push(Trial::new(subject, Part::SetupTooEarly, |subject| async {
        failed_setup(subject, |_, _| {}, false).await
    }));
    trials.push(Trial::new(subject, Part::SetupOfTooMuch, |subject| async {
        failed_setup(subject, |net, max| net.mtu = max.saturating_add(1), true).await
    }));
}

async fn repeated_setup(subject: Subject) -> Result<(), Failed> {
    let scene = Scene::new(&subject, "repeated")?;
    let first = scene.begin().await?;
    let before = scene.look(&subject);
    // A cluster that is extended asks again for everything.
    scene.create().await.map_err(|error| Failed::from(error).during("asked again"))?;
    let second = scene.set_up().await.map_err(|error| Failed::from(error).during("asked again"))?;
    for ((port, first), second) in scene.ports.iter().zip(&first).zip(&second) {
        same(port, first, second)?;
    }
    scene.look(&subject).same_as(&before).map_err(|failed| failed.during("after the second setup"))
}

/// A cluster that gets another node and another net says in preflight what is new, and no more.
async fn added_ports(subject: Subject) -> Result<(), Failed> {
    let mut scene = Scene::new(&subject, "added")?;
    let (all_nets, all_ports) = (scene.nets.clone(), scene.ports.clone());
    let last_net = all_nets.last().map(|net| net.id).filter(|_| all_nets.len() > 1);
    let last_node = all_ports.last().map(|port| port.node);
    let is_new = |port: &Port| Some(port.net.id) == last_net || Some(port.node) == last_node;
    (scene.nets, scene.ports) = (all_nets.clone(), all_ports.clone());
    scene.nets.retain(|net| Some(net.id) != last_net);
    scene.ports.retain(|port| !is_new(port));
    let (old_ports, first) = (scene.ports.clone(), scene.begin().await?);

    scene.nets = all_nets.iter().filter(|net| Some(net.id) == last_net).cloned().collect();
    scene.ports = all_ports.iter().filter(|port| is_new(port)).cloned().collect();
    let added = scene.begin().await.map_err(|error| Failed::from(error).during("adding to a cluster"))?;

    let known = old_ports.iter().zip(&first).chain(scene.ports.iter().zip(&added));
    let context = scene.stage.context();
    for (port, port_config) in known {
        let again = scene.backend.setup(&context, port).await;
        same(port, port_config, &again.map_err(|error| Failed::from(error).during("asked again after that"))?)?;
    }
    (scene.nets, scene.ports) = (all_nets, all_ports);
    Ok(scene.end().await?)
}

fn same(port: &Port, first: &PortConfig, second: &PortConfig) -> Result<(), Failed> {
    let what = || format!("{} on net {}", port.node, port.net.id);
    ensure(first.kvm == second.kvm, || format!("{}: first `{}`, then `{}`", what(), first.kvm, second.kvm))?;
    ensure(first.access == second.access, || format!("{}: first {:?}, then {:?}", what(), first.access, second.access))
}

async fn teardown_of_what_is_absent(subject: Subject) -> Result<(), Failed> {
    let scene = Scene::new(&subject, "absent")?;
    scene.end().await.map_err(|error| Failed::from(error).during("before any setup"))?;
    scene.begin().await?;
    scene.end().await?;
    scene.end().await.map_err(|error| Failed::from(error).during("a second time"))
}

/// Many nodes begin at once, and each gets a NIC of its own.
async fn setups_at_the_same_time(subject: Subject) -> Result<(), Failed> {
    let mut scene = Scene::new(&subject, "crowd")?;
    let nodes = (1..=20).map(NodeId::new).collect::<Result<Vec<_>, _>>()?;
    let ports =
        nodes.iter().flat_map(|node| (0..).zip(&scene.nets).map(|(nic, net)| Port::new(*node, net.clone(), nic)));
    scene.ports = ports.collect();
    scene.create().await?;
    let context = scene.stage.context();
    let together = try_join_all(scene.ports.iter().map(|port| scene.backend.setup(&context, port))).await?;
    for (port, port_config) in scene.ports.iter().zip(&together) {
        let mac = format!("mac={}", port.mac);
        let own = port_config.kvm.devices().any(|device| device.split(',').any(|property| property == mac));
        ensure(own, || format!("{} on net {} gets `{}`, not `{mac}`", port.node, port.net.id, port_config.kvm))?;
    }
    Ok(scene.end().await?)
}

/// A setup that should fail, at whatever place it does. What it made until then goes with the usual undoing.
async fn failed_setup(subject: Subject, spoil: impl Fn(&mut Net, u16), create: bool) -> Result<(), Failed> {
    let mut nets = subject.nets.clone();
    for net in &mut nets {
        let max = subject.capabilities(net).mtu_max;
        spoil(net, max);
    }
    let scene = Scene::on(&subject, "failed", nets)?;
    let watch = scene.watch(&subject);
    let before = watch.look();
    let begun = async {
        if create {
            scene.create().await?;
        }
        scene.set_up().await
    };
    let begun: Result<Vec<PortConfig>, NetError> = begun.await;
    let text = if begun.is_ok() { "a setup that should have failed" } else { "a failed setup" };
    scene.end().await.map_err(|error| Failed::from(error).during(format!("undoing {text}")))?;
    drop(scene);
    watch.look().same_as(&before).map_err(|failed| failed.during(format!("after {text} and its teardown")))
}
