//! Requests to a backend and its answers, as plain data.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::KvmArgs;
use crate::addr::{Addressing, MacAddr};
use crate::name::{NetId, NodeId};
use crate::topology::NetKind;

/// A net that a backend carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Net {
    /// The net's number.
    pub id: NetId,
    /// The purpose of the net.
    pub kind: NetKind,
    /// The MTU in bytes; at most what the backend's [`Capabilities`](super::Capabilities) promise.
    pub mtu: u16,
    /// The numbering of the cluster.
    pub addressing: Addressing,
}

impl Net {
    /// A net of its number's usual kind, with an MTU of 1500 bytes and default addresses.
    pub fn new(id: NetId) -> Self {
        Self { id, kind: NetKind::usual(id), mtu: 1500, addressing: Addressing::default() }
    }

    /// The net's IPv4 address, to be written with [`Addressing::IPV4_LEN`].
    pub fn ipv4(&self) -> Ipv4Addr {
        self.addressing.ipv4_net(self.id)
    }

    /// The net's IPv6 address, to be written with [`Addressing::IPV6_LEN`].
    pub fn ipv6(&self) -> Ipv6Addr {
        self.addressing.ipv6_net(self.id)
    }

    /// The host's IPv4 address on the net, where the host is on it.
    pub fn host_ipv4(&self) -> Ipv4Addr {
        self.addressing.host_ipv4(self.id)
    }

    /// The host's IPv6 address on the net, where the host is on it.
    pub fn host_ipv6(&self) -> Ipv6Addr {
        self.addressing.host_ipv6(self.id)
    }
}

/// The place where a node's NIC joins a net: what a backend is asked to set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Port {
    /// The node with the NIC.
    pub node: NodeId,
    /// The net that the NIC is on.
    pub net: Net,
    /// The index among the node's NICs: 0 is eth0.
    pub nic: u8,
    /// The hardware address of the NIC.
    pub mac: MacAddr,
    /// The node's TCP ports that the host wants to reach over this NIC, where the backend gives access.
    pub expose: Vec<u16>,
}

impl Port {
    /// The port of a node on a net, with the hardware address from the net's numbering.
    pub fn new(node: NodeId, net: Net, nic: u8) -> Self {
        let mac = net.addressing.mac(net.id, node);
        Self { node, net, nic, mac, expose: Vec::new() }
    }

    /// Asks for access to these TCP ports from the host.
    #[must_use]
    pub fn exposing(mut self, ports: impl Into<Vec<u16>>) -> Self {
        self.expose = ports.into();
        self
    }

    /// The node's IPv4 address on the net.
    pub fn ipv4(&self) -> Ipv4Addr {
        self.net.addressing.ipv4(self.net.id, self.node)
    }

    /// The node's IPv6 address on the net.
    pub fn ipv6(&self) -> Ipv6Addr {
        self.net.addressing.ipv6(self.net.id, self.node)
    }

    /// The ID of the port's netdev in QEMU's args: `net0`, as net-setup scripts name it.
    pub fn netdev(&self) -> String {
        format!("net{}", self.net.id)
    }
}

/// The config of a port that is set up.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PortConfig {
    /// How QEMU uses it.
    pub kvm: KvmArgs,
    /// How this host reaches the node's TCP ports over it.
    pub access: HostAccess,
}

impl PortConfig {
    /// The config of a port with these args and this access.
    pub const fn new(kvm: KvmArgs, access: HostAccess) -> Self {
        Self { kvm, access }
    }
}

/// How this host reaches a node's TCP ports over one of its NICs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HostAccess {
    /// Not at all.
    #[default]
    None,
    /// Each TCP port at an address of the host.
    Forwarded(Vec<Forward>),
    /// Every TCP port at the node's own address.
    Direct(IpAddr),
    /// Every TCP port at the node's own address, from within the cluster's network namespace.
    Inside(IpAddr),
    /// Each TCP port at an address within the cluster's network namespace.
    ForwardedInside(Vec<Forward>),
}

impl HostAccess {
    /// The address of a TCP port of the node, for this host's own network namespace.
    pub fn tcp(&self, port: u16) -> Option<SocketAddr> {
        match self {
            Self::Forwarded(forwards) => forwards.iter().find(|f| f.port == port).map(|f| f.host),
            Self::Direct(ip) => Some(SocketAddr::new(*ip, port)),
            Self::None | Self::Inside(_) | Self::ForwardedInside(_) => None,
        }
    }

    /// The address of a TCP port of the node, for the cluster's network namespace.
    pub fn tcp_inside(&self, port: u16) -> Option<SocketAddr> {
        match self {
            Self::Inside(ip) => Some(SocketAddr::new(*ip, port)),
            Self::ForwardedInside(forwards) => forwards.iter().find(|f| f.port == port).map(|f| f.host),
            _ => None,
        }
    }
}

/// An address of the host that leads to a TCP port of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The node's TCP port.
    pub port: u16,
    /// The address where the host listens.
    pub host: SocketAddr,
}
