//! The contract of network backends, kept by an Open vSwitch of the cluster's own in each of its three homes.

use std::process::ExitCode;
use std::sync::Arc;

use xcluster_core::host::Netns;
use xcluster_core::host::namespace::NamedNetns;
use xcluster_core::net::NetBackend;
use xcluster_core::testing::conformance::{Subject, trials};
use xcluster_core::testing::harness;
use xcluster_net_ovs::OvsBackend;

fn main() -> ExitCode {
    let named = NamedNetns::new("prepared").map(Netns::Named).expect("it is a name");
    let tests = [Netns::Private, Netns::Here, named].into_iter().flat_map(|netns| {
        let home = netns.to_string();
        trials(&subject(netns)).into_iter().map(move |mut trial| {
            trial.name = format!("{home}: {}", trial.name);
            trial.into_test()
        })
    });
    harness::main(tests.collect())
}

fn subject(netns: Netns) -> Subject {
    Subject::new(|| Arc::new(OvsBackend::default()) as Arc<dyn NetBackend>).in_netns(netns)
}
