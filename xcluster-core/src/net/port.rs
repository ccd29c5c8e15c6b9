//! What a backend is asked for and what it answers, as plain data.

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
    /// Its number.
    pub id: NetId,
    /// What it is for.
    pub kind: NetKind,
    /// Its MTU in bytes; within what the backend's [`Capabilities`](super::Capabilities) promise.
    pub mtu: u16,
    /// The numbering of the cluster that it belongs to.
    pub addressing: Addressing,
}

impl Net {
    /// A net of its number's usual kind, with the MTU of Ethernet and default addresses.
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

    /// The host's IPv4 address on the net, if the host is on it.
    pub fn host_ipv4(&self) -> Ipv4Addr {
        self.addressing.host_ipv4(self.id)
    }

    /// The host's IPv6 address on the net, if the host is on it.
    pub fn host_ipv6(&self) -> Ipv6Addr {
        self.addressing.host_ipv6(self.id)
    }
}

/// One NIC that a node gets: what a backend is asked to wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Port {
    /// Whose NIC it is.
    pub node: NodeId,
    /// The net that it is on.
    pub net: Net,
    /// Its place among the node's NICs: 0 is eth0.
    pub nic: u8,
    /// Its hardware address.
    pub mac: MacAddr,
    /// The node's TCP ports that the host wants to reach over this NIC, if the backend gives it access at all.
    pub expose: Vec<u16>,
}

impl Port {
    /// The port of a node on a net, with the hardware address that the net's numbering gives it.
    pub fn new(node: NodeId, net: Net, nic: u8) -> Self {
        let mac = net.addressing.mac(net.id, node);
        Self { node, net, nic, mac, expose: Vec::new() }
    }

    /// The same port with these TCP ports to be reached from the host.
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

    /// The name by which the args for QEMU refer to this port's netdev: `net0`, as net-setup scripts name it.
    pub fn netdev(&self) -> String {
        format!("net{}", self.net.id)
    }
}

/// A wired port.
#[derive(Debug, Clone, PartialEq)]
pub struct PortConfig {
    /// How QEMU takes it.
    pub kvm: KvmArgs,
    /// How this host reaches the node's TCP ports over it.
    pub access: HostAccess,
}

/// How this host reaches a node's TCP ports over one of its NICs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HostAccess {
    /// Not at all.
    #[default]
    None,
    /// Each port by an address of the host.
    Forwarded(Vec<Forward>),
    /// Every port, at the node's own address.
    Direct(IpAddr),
    /// Every port, at the node's own address, from within the cluster's network namespace.
    Inside(IpAddr),
    /// Each port by an address within the cluster's network namespace.
    ForwardedInside(Vec<Forward>),
}

impl HostAccess {
    /// Where this host finds a TCP port of the node, without going anywhere.
    pub fn tcp(&self, port: u16) -> Option<SocketAddr> {
        match self {
            Self::Forwarded(forwards) => forwards.iter().find(|f| f.port == port).map(|f| f.host),
            Self::Direct(ip) => Some(SocketAddr::new(*ip, port)),
            Self::None | Self::Inside(_) | Self::ForwardedInside(_) => None,
        }
    }

    /// Where a TCP port of the node is found from within the cluster's network namespace.
    pub fn tcp_inside(&self, port: u16) -> Option<SocketAddr> {
        match self {
            Self::Inside(ip) => Some(SocketAddr::new(*ip, port)),
            Self::ForwardedInside(forwards) => forwards.iter().find(|f| f.port == port).map(|f| f.host),
            _ => None,
        }
    }
}

/// A TCP port of a node that an address of the host leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forward {
    /// The node's port.
    pub port: u16,
    /// Where the host listens for it.
    pub host: SocketAddr,
}
