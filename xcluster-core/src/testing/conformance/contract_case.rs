//! The contract cases by name: the part of the contract that each tests, and the capabilities that it depends on.

use crate::net::{Capabilities, VmToVm};

/// The contract, with the text of [`NetBackend`](crate::net::NetBackend); the first is number 1.
pub const CONTRACT: [&str; 9] = [
    "A repeated setup answers the same args and access and makes nothing new.",
    "Teardown of what is absent succeeds.",
    "A durable backend can undo from the request alone in another process.",
    "Only objects named after the request are touched, and a foreign object of that name is a conflict, left as it was.",
    "Ports of different nodes are set up concurrently.",
    "A failed setup leaves nothing that teardown would not remove.",
    "Real QEMU accepts the arguments.",
    "After `delete_net` the host looks as before.",
    "What the capabilities promise, traffic shows.",
];

/// A part of the contract that is tested by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContractCase {
    /// Number 1, for all nets and ports of a cluster.
    RepeatedSetup,
    /// Number 1, for a cluster that was extended meanwhile.
    AddedPorts,
    /// Number 2, whole.
    TeardownOfAbsent,
    /// Number 3, whole.
    TeardownByAnother,
    /// Number 4, if each cluster has its own network namespace or objects.
    BesideAnotherCluster,
    /// Number 4, if all clusters share a network namespace.
    WhereAnotherClusterIs,
    /// Number 4, with a foreign object of the same name.
    WithForeignObject,
    /// Number 5, whole.
    SetupsAtOnce,
    /// Number 6, for a setup that comes too early.
    SetupTooEarly,
    /// Number 6, for a setup with a larger MTU than the backend carries.
    SetupOfTooMuch,
    /// Number 7, on the command line.
    ArgsAtTheStart,
    /// Number 7, over the monitor.
    ArgsWhileItRuns,
    /// Number 8, whole.
    AsBefore,
    /// Number 9: [`Capabilities::host_access`].
    HostAccess,
    /// Number 9: [`VmToVm::None`].
    NodesApart,
    /// Number 9: [`VmToVm::Hub`] and [`VmToVm::Switch`].
    NodesTogether,
    /// Number 9: the difference between [`VmToVm::Hub`] and [`VmToVm::Switch`].
    Echo,
    /// Number 9: that the net is not [`Capabilities::lossy`].
    EveryFrame,
    /// Number 9: [`Capabilities::mtu_max`].
    LargestMtu,
    /// Number 9: nets of the same number in two clusters.
    ClustersApart,
    /// Number 9: nets of one cluster.
    NetsApart,
}

impl ContractCase {
    /// All of them, in the order of the contract.
    pub const ALL: [Self; 21] = [
        Self::RepeatedSetup,
        Self::AddedPorts,
        Self::TeardownOfAbsent,
        Self::TeardownByAnother,
        Self::BesideAnotherCluster,
        Self::WhereAnotherClusterIs,
        Self::WithForeignObject,
        Self::SetupsAtOnce,
        Self::SetupTooEarly,
        Self::SetupOfTooMuch,
        Self::ArgsAtTheStart,
        Self::ArgsWhileItRuns,
        Self::AsBefore,
        Self::HostAccess,
        Self::NodesApart,
        Self::NodesTogether,
        Self::Echo,
        Self::EveryFrame,
        Self::LargestMtu,
        Self::ClustersApart,
        Self::NetsApart,
    ];

    /// The number in the contract, from 1.
    pub const fn number(self) -> u8 {
        self.number_and_text().0
    }

    /// Which part of that number it tests; empty if it tests all of it.
    pub const fn text(self) -> &'static str {
        self.number_and_text().1
    }

    /// Whether it is tested on a net with these capabilities. No capability tells whether clusters share a namespace, and whether
    /// foreign objects are possible: the [`Subject`](super::Subject) does.
    pub fn is_promised_by(self, promise: &Capabilities) -> bool {
        match self {
            Self::TeardownByAnother => promise.durable,
            Self::ArgsWhileItRuns => promise.hotplug,
            Self::HostAccess => promise.host_access,
            Self::NodesApart => promise.vm_to_vm == VmToVm::None && promise.allows(2),
            Self::EveryFrame => promise.joins() && !promise.lossy,
            Self::NodesTogether | Self::Echo | Self::LargestMtu | Self::ClustersApart | Self::NetsApart => {
                promise.joins()
            }
            _ => true,
        }
    }

    const fn number_and_text(self) -> (u8, &'static str) {
        match self {
            Self::RepeatedSetup => (1, ""),
            Self::AddedPorts => (1, "after nodes were added"),
            Self::TeardownOfAbsent => (2, ""),
            Self::TeardownByAnother => (3, ""),
            Self::BesideAnotherCluster => (4, "beside another cluster"),
            Self::WhereAnotherClusterIs => (4, "where another cluster is"),
            Self::WithForeignObject => (4, "with a foreign object of that name"),
            Self::SetupsAtOnce => (5, ""),
            Self::SetupTooEarly => (6, "without what comes before it"),
            Self::SetupOfTooMuch => (6, "with more MTU than is carried"),
            Self::ArgsAtTheStart => (7, "at its start"),
            Self::ArgsWhileItRuns => (7, "while it runs"),
            Self::AsBefore => (8, ""),
            Self::HostAccess => (9, "the host and nodes reach each other on net"),
            Self::NodesApart => (9, "nodes do not hear each other on net"),
            Self::NodesTogether => (9, "nodes reach each other on net"),
            Self::Echo => (9, "frames go where they are said to on net"),
            Self::EveryFrame => (9, "every frame arrives on net"),
            Self::LargestMtu => (9, "the largest MTU is carried on net"),
            Self::ClustersApart => (9, "two clusters do not hear each other on net"),
            Self::NetsApart => (9, "nets do not hear each other"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_contract_cases_in_its_order() {
        let numbers: Vec<u8> = ContractCase::ALL.iter().map(|contract_case| contract_case.number()).collect();
        assert!(numbers.is_sorted());
        assert!((1..).zip(CONTRACT).all(|(number, _)| numbers.contains(&number)), "{numbers:?}");
    }

    #[test]
    fn the_trials_have_the_text_of_the_trait() {
        let doc = include_str!("../../net/backend.rs");
        let lines: Vec<&str> = doc.lines().filter_map(|line| line.strip_prefix("///")).map(str::trim).collect();
        let doc = lines.join(" ");
        for (number, text) in (1..).zip(CONTRACT) {
            assert!(doc.contains(&format!("{number}. {text}")), "{number}. {text}");
        }
    }
}
