//! The Open vSwitch backend keeps the contract of network backends: a private instance in each of its three netns modes, and
//! the host's with and without the host on the nets.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tempfile::TempDir;
use xcluster_core::host::Netns;
use xcluster_core::host::namespace::NamedNetns;
use xcluster_core::name::NetId;
use xcluster_core::net::{BackendContext, Net, NetBackend};
use xcluster_core::netlink::Netlink;
use xcluster_core::netlink::link::{LinkSelector, NewBridge};
use xcluster_core::testing::conformance::{ForeignObjects, Subject, Trial, trials};
use xcluster_core::testing::harness::Test;
use xcluster_core::testing::{TestFailure, ensure, harness};
use xcluster_net_ovs::testing::{HostSwitch, bridge_name, vsctl};
use xcluster_net_ovs::{OvsBackend, OvsConfig};

fn main() -> ExitCode {
    let named = NamedNetns::new("prepared").map(Netns::Named).expect("it is a name");
    let own = [Netns::Private, Netns::Here, named].into_iter().flat_map(of_own);
    let host = of_host("system", |config| config, |subject| subject.in_netns(Netns::Here));
    let hostless = of_host("system without host", OvsConfig::without_host, |subject| subject);
    harness::main(own.chain(host).chain(hostless).collect())
}

fn of_own(netns: Netns) -> impl Iterator<Item = Test> {
    let netns_mode = netns.to_string();
    let subject = Subject::new(|| Arc::new(OvsBackend::default()) as Arc<dyn NetBackend>);
    let subject = subject.in_netns(netns).with_foreign_objects(ForeignLink::default());
    trials(&subject).into_iter().map(move |trial| named(trial, &netns_mode).into_test())
}

/// Each trial has a host with an Open vSwitch.
fn of_host(
    netns_mode: &'static str,
    configure: fn(OvsConfig) -> OvsConfig,
    placed: fn(Subject) -> Subject,
) -> impl Iterator<Item = Test> {
    let trials_at = move |db: String| {
        let config = configure(OvsConfig::default().on_system(db));
        let foreign_objects = ForeignBridge { db: config.db.clone() };
        let make = move || Arc::new(OvsBackend::new(config.clone())) as Arc<dyn NetBackend>;
        trials(&placed(Subject::new(make).with_foreign_objects(foreign_objects)))
    };
    (0..trials_at(String::new()).len()).filter_map(move |index| {
        let dir = tempfile::tempdir().expect("there is a folder for temporary files");
        let trial = trials_at(HostSwitch::db_in(dir.path())).into_iter().nth(index)?;
        let trial = named(trial, netns_mode);
        Some(harness::test(trial.test_name(), move || on_host(dir, trial)))
    })
}

async fn on_host(dir: TempDir, trial: Trial) -> Result<(), TestFailure> {
    let host = HostSwitch::start(dir.path()).await?;
    trial.run().await?;
    Ok(host.end().await?)
}

fn named(mut trial: Trial, netns_mode: &str) -> Trial {
    trial.name = format!("{netns_mode}: {}", trial.name);
    trial
}

/// A foreign link with the bridge's name, without a mark.
#[derive(Debug, Default)]
struct ForeignLink {
    planted: Mutex<BTreeMap<NetId, String>>,
}

impl ForeignLink {
    async fn looks(netlink: &Netlink, name: &str) -> Result<String, TestFailure> {
        Ok(format!("{:?}", netlink.link(name).await?))
    }
}

#[async_trait(?Send)]
impl ForeignObjects for ForeignLink {
    async fn plant(&self, placed: &BackendContext<'_>, net: &Net) -> Result<(), TestFailure> {
        let (netlink, name) = (Netlink::connect(placed.needed_namespace()?)?, format!("xcbr{}", net.id));
        let bridge = NewBridge { name: &name, group: 0, address: [2, 0, 0, 0, 0, 1], forward_link_local: 0 };
        netlink.make_bridge(&bridge).await?;
        let looks = Self::looks(&netlink, &name).await?;
        self.planted.lock().unwrap_or_else(PoisonError::into_inner).insert(net.id, looks);
        Ok(())
    }

    async fn remove_intact(&self, placed: &BackendContext<'_>, net: &Net) -> Result<(), TestFailure> {
        let (netlink, name) = (Netlink::connect(placed.needed_namespace()?)?, format!("xcbr{}", net.id));
        let before = self.planted.lock().unwrap_or_else(PoisonError::into_inner).remove(&net.id);
        let now = Self::looks(&netlink, &name).await?;
        ensure(before.as_deref() == Some(&now), || format!("it was {before:?} and is {now}"))?;
        Ok(netlink.remove(LinkSelector::Name(&name)).await?)
    }
}

/// A foreign bridge of that name in the host's Open vSwitch.
#[derive(Debug)]
struct ForeignBridge {
    db: String,
}

impl ForeignBridge {
    async fn looks(&self, name: &str) -> Result<String, TestFailure> {
        Ok(vsctl(&self.db, &["list", "Bridge", name, "--", "list", "Port", name]).await?)
    }
}

#[async_trait(?Send)]
impl ForeignObjects for ForeignBridge {
    async fn plant(&self, placed: &BackendContext<'_>, net: &Net) -> Result<(), TestFailure> {
        let name = bridge_name(placed.cluster, net.id);
        let mark = format!("external_ids:looks=\"{name}\"");
        let netdev = ["--", "set", "Bridge", &name, "datapath_type=netdev", &mark];
        vsctl(&self.db, &[&["add-br", &name], &netdev[..]].concat()).await?;
        Ok(())
    }

    async fn remove_intact(&self, placed: &BackendContext<'_>, net: &Net) -> Result<(), TestFailure> {
        let name = bridge_name(placed.cluster, net.id);
        let looks = self.looks(&name).await?;
        ensure(looks.contains(&format!("looks={name}")) && !looks.contains("xcluster"), || looks.clone())?;
        vsctl(&self.db, &["del-br", &name]).await?;
        Ok(())
    }
}
