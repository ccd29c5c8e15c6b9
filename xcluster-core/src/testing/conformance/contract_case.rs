//! What is tried: every part of the contract by name, and which promises it belongs to. Tries nothing.

use crate::net::{Capabilities, VmToVm};

/// A part of the contract that has trials of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContractCase {
    /// Number 1, for all that a cluster has.
    RepeatedSetup,
    /// Number 1, where something was added meanwhile.
    AddedPorts,
    /// Number 2, whole.
    TeardownOfAbsent,
    /// Number 3, whole.
    UndoByAnother,
    /// Number 4, where each cluster has a place of its own.
    BesideAnotherCluster,
    /// Number 4, where all clusters have one place.
    WhereAnotherClusterIs,
    /// Number 4, where a foreign object has the name.
    WithForeignObject,
    /// Number 5, whole.
    SetupsAtOnce,
    /// Number 6, where a setup comes too early.
    SetupTooEarly,
    /// Number 6, where a setup asks for too much.
    SetupOfTooMuch,
    /// Number 7, on the command line.
    WordsAtTheStart,
    /// Number 7, by the monitor.
    WordsWhileItRuns,
    /// Number 8, whole.
    AsBefore,
    /// Number 9: [`Capabilities::host_access`].
    HostAccess,
    /// Number 9: [`VmToVm::None`].
    NodesApart,
    /// Number 9: [`VmToVm::Hub`] and [`VmToVm::Switch`].
    NodesTogether,
    /// Number 9: the difference of [`VmToVm::Hub`] and [`VmToVm::Switch`].
    Echo,
    /// Number 9: that the net is not [`Capabilities::lossy`].
    EveryFrame,
    /// Number 9: [`Capabilities::mtu_max`].
    LargestMtu,
    /// Number 9: nets of one number and two clusters.
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
        Self::UndoByAnother,
        Self::BesideAnotherCluster,
        Self::WhereAnotherClusterIs,
        Self::WithForeignObject,
        Self::SetupsAtOnce,
        Self::SetupTooEarly,
        Self::SetupOfTooMuch,
        Self::WordsAtTheStart,
        Self::WordsWhileItRuns,
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

    /// The number of the contract that it belongs to, from 1.
    pub const fn number(self) -> u8 {
        self.number_and_text().0
    }

    /// Which part of its number it is; empty if it is the whole of it.
    pub const fn text(self) -> &'static str {
        self.number_and_text().1
    }

    /// Whether it is tried on a net for which this is promised. Where several clusters are, and whether a foreign object may be
    /// there first, is no promise: those parts are for the [`Subject`](super::Subject) to say.
    pub fn is_promised_by(self, promise: &Capabilities) -> bool {
        match self {
            Self::UndoByAnother => promise.durable,
            Self::WordsWhileItRuns => promise.hotplug,
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
            Self::UndoByAnother => (3, ""),
            Self::BesideAnotherCluster => (4, "beside another cluster"),
            Self::WhereAnotherClusterIs => (4, "where another cluster is"),
            Self::WithForeignObject => (4, "with a foreign object of that name"),
            Self::SetupsAtOnce => (5, ""),
            Self::SetupTooEarly => (6, "without what comes before it"),
            Self::SetupOfTooMuch => (6, "with more MTU than is carried"),
            Self::WordsAtTheStart => (7, "at its start"),
            Self::WordsWhileItRuns => (7, "while it runs"),
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
