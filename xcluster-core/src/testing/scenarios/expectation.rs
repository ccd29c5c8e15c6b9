//! The expectations by name: the scenario in which each is checked, and the capabilities that it depends on.

use crate::net::Capabilities;

use super::fixture::Fixture;
use super::{frames, host, nets};

/// A kind of cluster, with the expectations that are checked on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Three nodes on three nets with the largest MTU, and a second cluster at the same time.
    Everyday,
    /// Two nodes with as many NICs as a topology allows.
    ManyNics,
}

/// An expectation about a cluster of real VMs. The comments say how it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expectation {
    /// By ping, to every node on every net.
    NodesTogether,
    /// Over TCP, a checksum compared.
    Megabytes,
    /// By broadcasts: [`VmToVm::None`](crate::net::VmToVm::None) and the nets of one cluster.
    NetsApart,
    /// By pings that fill the MTU: [`Capabilities::mtu_max`].
    WholeMtu,
    /// By the features that the NIC's driver and device agreed on: [`Capabilities::offloads`].
    Offloads,
    /// From the host to the nodes: [`Capabilities::host_access`].
    HostLogsIn,
    /// Over TCP, there and back, compared.
    HostMegabytes,
    /// From the nodes to the host, over TCP, there and back, compared.
    NodesReachTheHost,
    /// By ARP requests that only the other cluster could answer.
    ClustersApart,
    /// By ping and over TCP, after a node was stopped and booted again.
    Restart,
    /// By the hardware and IP addresses of each NIC.
    EveryNic,
    /// By ping on each net.
    EveryNetOfMany,
}

impl Expectation {
    /// All of them, in the order in which they are checked.
    pub const ALL: [Self; 12] = [
        Self::NodesTogether,
        Self::Megabytes,
        Self::NetsApart,
        Self::WholeMtu,
        Self::Offloads,
        Self::HostLogsIn,
        Self::HostMegabytes,
        Self::NodesReachTheHost,
        Self::ClustersApart,
        Self::Restart,
        Self::EveryNic,
        Self::EveryNetOfMany,
    ];

    /// What is expected.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NodesTogether => "nodes reach each other, in IPv4 and IPv6",
            Self::Megabytes => "large data arrives unchanged",
            Self::NetsApart => "a broadcast is received on its net and on no other net",
            Self::WholeMtu => "packets as large as the MTU arrive unfragmented",
            Self::Offloads => "checksums and segmentation are left to the data path",
            Self::HostLogsIn => "the host logs in by telnet and ssh",
            Self::HostMegabytes => "large data of the host comes back unchanged",
            Self::NodesReachTheHost => "nodes reach the host at its address on the net",
            Self::ClustersApart => "two clusters at the same time are isolated",
            Self::Restart => "a node that is stopped and booted again is reachable as before",
            Self::EveryNic => "a node with the maximum number of NICs has the addresses of each NIC",
            Self::EveryNetOfMany => "nodes with the maximum number of NICs reach each other on every net",
        }
    }

    /// The cluster that it is checked on.
    pub const fn scenario(self) -> Scenario {
        match self {
            Self::EveryNic | Self::EveryNetOfMany => Scenario::ManyNics,
            _ => Scenario::Everyday,
        }
    }

    /// Whether it is checked on a net with these capabilities.
    pub fn is_promised_by(self, promise: &Capabilities) -> bool {
        match self {
            Self::NetsApart | Self::ClustersApart | Self::Restart | Self::EveryNic => true,
            Self::NodesTogether | Self::Megabytes | Self::WholeMtu | Self::EveryNetOfMany => promise.joins(),
            Self::Offloads => promise.offloads,
            Self::HostLogsIn | Self::HostMegabytes | Self::NodesReachTheHost => promise.host_access,
        }
    }

    /// Checks it, and panics if it does not hold.
    pub(super) async fn check(self, fixture: &Fixture<'_>) {
        match self {
            Self::NodesTogether => nets::nodes_reach_each_other(fixture).await,
            Self::Megabytes => nets::megabytes_arrive(fixture).await,
            Self::NetsApart => nets::nets_do_not_hear_each_other(fixture).await,
            Self::WholeMtu => frames::packets_that_fill_the_mtu_arrive(fixture).await,
            Self::Offloads => frames::much_is_left_to_the_data_path(fixture).await,
            Self::HostLogsIn => host::the_host_logs_in(fixture).await,
            Self::HostMegabytes => host::megabytes_come_back(fixture).await,
            Self::NodesReachTheHost => host::nodes_reach_it(fixture).await,
            Self::ClustersApart => nets::clusters_do_not_meet(fixture).await,
            Self::Restart => nets::a_node_comes_back(fixture).await,
            Self::EveryNic => nets::each_has_its_addresses(fixture).await,
            Self::EveryNetOfMany => nets::each_net_joins(fixture).await,
        }
    }
}
