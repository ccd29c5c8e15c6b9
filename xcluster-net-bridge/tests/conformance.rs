//! The bridge backend keeps the contract of network backends, in each of its three netns modes.

mod inside;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use xcluster_core::external::{PluginBackend, PluginConfig};
use xcluster_core::host::Netns;
use xcluster_core::host::namespace::NamedNetns;
use xcluster_core::name::NetId;
use xcluster_core::net::{BackendContext, Net, NetBackend};
use xcluster_core::testing::conformance::{ForeignObjects, Subject, trials};
use xcluster_core::testing::harness::Test;
use xcluster_core::testing::{TestFailure, ensure, harness};
use xcluster_net_bridge::{BridgeBackend, BridgeConfig};

use inside::Links;

fn main() -> ExitCode {
    // A plugin may have threads, so it is loaded in a program that may have some.
    harness::main_with(tests)
}

fn tests() -> Vec<Test> {
    let named = NamedNetns::new("prepared").map(Netns::Named).expect("it is a name");
    let tests = [Netns::Private, Netns::Here, named].into_iter().flat_map(|netns| {
        let netns_mode = netns.to_string();
        trials(&subject(netns)).into_iter().map(move |mut trial| {
            trial.name = format!("{netns_mode}: {}", trial.name);
            trial.into_test()
        })
    });
    tests.chain(several_queues()).chain(as_a_plugin()).collect()
}

/// The same backend, loaded as a plugin.
fn as_a_plugin() -> impl Iterator<Item = Test> {
    let named = NamedNetns::new("prepared").map(Netns::Named).expect("it is a name");
    [Netns::Private, named].into_iter().flat_map(|netns| {
        let netns_mode = netns.to_string();
        let subject = Subject::new(|| Arc::new(plugin()) as Arc<dyn NetBackend>);
        let subject = subject.in_netns(netns).with_foreign_objects(ForeignBridge::default());
        trials(&subject).into_iter().map(move |mut trial| {
            trial.name = format!("plugin: {netns_mode}: {}", trial.name);
            trial.into_test()
        })
    })
}

/// The example that cargo has built beside this test.
fn plugin() -> PluginBackend {
    let program = std::env::current_exe().expect("a test knows where it is");
    let library =
        program.ancestors().nth(2).map(|folder| folder.join("examples/libplugin.so")).expect("a test is in `deps`");
    PluginBackend::load(PluginConfig::new(&library))
        .unwrap_or_else(|error| panic!("{error}; `cargo build -p xcluster-net-bridge --example plugin` makes it"))
}

/// The trials of QEMU's args, for taps with several queues.
fn several_queues() -> impl Iterator<Item = Test> {
    let backend = || Arc::new(BridgeBackend::new(BridgeConfig::default().with_queues(4))) as Arc<dyn NetBackend>;
    let subject = Subject::new(backend).in_netns(Netns::Private);
    trials(&subject).into_iter().filter(|trial| matches!(trial.number, 1 | 2 | 7 | 8)).map(|mut trial| {
        trial.name = format!("four queues: {}", trial.name);
        trial.into_test()
    })
}

fn subject(netns: Netns) -> Subject {
    Subject::new(|| Arc::new(BridgeBackend::default()) as Arc<dyn NetBackend>)
        .in_netns(netns)
        .with_foreign_objects(ForeignBridge::default())
}

/// A foreign bridge of the same name, without a mark.
#[derive(Debug, Default)]
struct ForeignBridge {
    planted: Mutex<BTreeMap<NetId, String>>,
}

#[async_trait(?Send)]
impl ForeignObjects for ForeignBridge {
    async fn plant(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), TestFailure> {
        let (links, name) = (Links::of(context.needed_namespace()?)?, format!("xcbr{}", net.id));
        links.make_bridge(&name).await?;
        let looks = links.looks(&name).await?;
        self.planted.lock().unwrap_or_else(PoisonError::into_inner).insert(net.id, looks);
        Ok(())
    }

    async fn remove_intact(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), TestFailure> {
        let (links, name) = (Links::of(context.needed_namespace()?)?, format!("xcbr{}", net.id));
        let before = self.planted.lock().unwrap_or_else(PoisonError::into_inner).remove(&net.id);
        let now = links.looks(&name).await?;
        ensure(before.as_deref() == Some(&now), || format!("it was {before:?} and is {now}"))?;
        links.remove(&name).await
    }
}
