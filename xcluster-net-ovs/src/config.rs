//! The configuration of Open vSwitch. `check` finds its problems.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use xcluster_core::name::{NetId, NodeId};

/// The name that topologies and `--net` choose this backend by.
pub(crate) const NAME: &str = "ovs";

/// The largest MTU. A tap takes frames of 65535 bytes (`MAX_MTU` of drivers/net/tun.c), of which 14 are the Ethernet header.
pub(crate) const MTU_MAX: u16 = 65535 - 14;

/// Which Open vSwitch carries the nets, and the settings of each net.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OvsConfig {
    /// Which instance. Default: a private one.
    pub instance: Instance,
    /// The host's database, as `ovs-vsctl --db` takes it. Default: `unix:/var/run/openvswitch/db.sock`.
    pub db: String,
    /// Whether the host is on each net, as its node 250. On the host's Open vSwitch, such clusters cannot have the same nets
    /// at the same time, since the host's addresses are the same. Default: yes.
    pub host: bool,
    /// The folder of Open vSwitch's programs. Default: those of `PATH`, and `/usr/sbin`.
    pub programs: Option<PathBuf>,
    /// The settings of nets, by number.
    #[serde(rename = "net")]
    pub nets: BTreeMap<NetId, OvsNet>,
}

/// An instance of Open vSwitch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Instance {
    /// A private one: started for the cluster, and ended with its owner.
    #[default]
    Private,
    /// The host's, which is already running.
    System,
}

/// The settings of a net.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OvsNet {
    /// The VLAN of the nodes and the host, 1–4094. Frames carry its tag only within the switch. Default: none.
    pub tag: Option<u16>,
    /// The VLANs, 0–4094, whose tagged frames nodes may send and get; 0 means untagged frames. With a `tag`, untagged frames
    /// belong to that VLAN. Default: all without a `tag`, none with one.
    pub trunks: Vec<u16>,
    /// Whether all frames of the net are copied to a link `xcbrN_cap` in the cluster's network namespace. Default: no.
    pub mirror: bool,
    /// A file of OpenFlow rules, as `ovs-ofctl add-flows` takes it. Node n is port n, and the host is `LOCAL`. Default: none.
    pub flows: Option<PathBuf>,
    /// What the switch does with frames that no rule matches. Default: it forwards as a learning switch.
    pub fail_mode: FailMode,
    /// OpenFlow controllers, as `ovs-vsctl set-controller` takes them: `tcp:192.168.0.250:6653`. Default: none.
    pub controllers: Vec<String>,
    /// Tunnels to other hosts with the same net of another cluster. Together they are one net, which no host is on. Default:
    /// none.
    #[serde(rename = "tunnel")]
    pub tunnels: Vec<Tunnel>,
    /// Settings of nodes that replace those of the net, by number.
    #[serde(rename = "node")]
    pub nodes: BTreeMap<NodeId, OvsPort>,
}

/// The VLANs of a node. Both settings together replace both of the net.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OvsPort {
    /// The VLAN of its untagged frames, 1–4094; see [`OvsNet::tag`].
    pub tag: Option<u16>,
    /// The VLANs of its tagged frames, 0–4094; see [`OvsNet::trunks`].
    pub trunks: Vec<u16>,
}

/// What a switch does without a rule (`fail_mode` of ovs-vswitchd.conf.db(5)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FailMode {
    /// It forwards as a learning switch, if no controller answers.
    #[default]
    Standalone,
    /// It only forwards frames that a rule lets pass.
    Secure,
}

/// A tunnel to the same net on another host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tunnel {
    /// The encapsulation of frames.
    #[serde(rename = "type")]
    pub kind: TunnelKind,
    /// The other host's address, reachable from the cluster's network namespace.
    pub remote: IpAddr,
    /// This host's address. Only for VXLAN. Default: routes choose it.
    #[serde(default)]
    pub local: Option<IpAddr>,
    /// The virtual network identifier, equal at both ends, 0–16777215. Default: the net's number.
    #[serde(default)]
    pub vni: Option<u32>,
    /// The UDP port at both ends. Default: that of the kind.
    #[serde(default)]
    pub port: Option<u16>,
}

/// The encapsulation of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TunnelKind {
    /// RFC 7348, on port 4789.
    Vxlan,
    /// RFC 8926, on port 6081.
    Geneve,
}

impl OvsConfig {
    /// The usual place of the host's database.
    pub const SYSTEM_DB: &str = "unix:/var/run/openvswitch/db.sock";

    /// Uses the host's Open vSwitch, with this database.
    #[must_use]
    pub fn on_system(mut self, db: impl Into<String>) -> Self {
        self.instance = Instance::System;
        self.db = db.into();
        self
    }

    /// Removes the host from all nets.
    #[must_use]
    pub const fn without_host(mut self) -> Self {
        self.host = false;
        self
    }

    /// Sets the folder of the programs.
    #[must_use]
    pub fn with_programs(mut self, folder: impl Into<PathBuf>) -> Self {
        self.programs = Some(folder.into());
        self
    }

    /// Sets the settings of a net.
    #[must_use]
    pub fn with_net(mut self, net: NetId, settings: OvsNet) -> Self {
        self.nets.insert(net, settings);
        self
    }

    /// Whether the host is on a net. It is not on a net with tunnels: all hosts would have one address there.
    pub(crate) fn has_host(&self, net: NetId) -> bool {
        self.host && self.nets.get(&net).is_none_or(|net| net.tunnels.is_empty())
    }

    /// The settings of a net; defaults if there are none.
    pub(crate) fn net(&self, net: NetId) -> OvsNet {
        self.nets.get(&net).cloned().unwrap_or_default()
    }
}

impl Default for OvsConfig {
    fn default() -> Self {
        let db = Self::SYSTEM_DB.to_owned();
        Self { instance: Instance::Private, db, host: true, programs: None, nets: BTreeMap::new() }
    }
}

impl OvsNet {
    /// Sets the VLAN; see [`tag`](Self::tag).
    #[must_use]
    pub const fn with_tag(mut self, tag: u16) -> Self {
        self.tag = Some(tag);
        self
    }

    /// Sets the VLANs of tagged frames; see [`trunks`](Self::trunks).
    #[must_use]
    pub fn with_trunks(mut self, trunks: impl Into<Vec<u16>>) -> Self {
        self.trunks = trunks.into();
        self
    }

    /// Copies all frames; see [`mirror`](Self::mirror).
    #[must_use]
    pub const fn with_mirror(mut self) -> Self {
        self.mirror = true;
        self
    }

    /// Sets the file of rules; see [`flows`](Self::flows).
    #[must_use]
    pub fn with_flows(mut self, file: impl Into<PathBuf>) -> Self {
        self.flows = Some(file.into());
        self
    }

    /// Sets what happens without a rule; see [`fail_mode`](Self::fail_mode).
    #[must_use]
    pub const fn with_fail_mode(mut self, mode: FailMode) -> Self {
        self.fail_mode = mode;
        self
    }

    /// Sets the controllers; see [`controllers`](Self::controllers).
    #[must_use]
    pub fn with_controllers(mut self, controllers: impl Into<Vec<String>>) -> Self {
        self.controllers = controllers.into();
        self
    }

    /// Adds a tunnel to another host.
    #[must_use]
    pub fn with_tunnel(mut self, tunnel: Tunnel) -> Self {
        self.tunnels.push(tunnel);
        self
    }

    /// Sets the VLANs of a node.
    #[must_use]
    pub fn with_node(mut self, node: NodeId, port: OvsPort) -> Self {
        self.nodes.insert(node, port);
        self
    }
}

impl OvsPort {
    /// Only untagged frames, in this VLAN.
    pub const fn access(tag: u16) -> Self {
        Self { tag: Some(tag), trunks: Vec::new() }
    }

    /// Tagged frames of these VLANs.
    pub fn trunk(trunks: impl Into<Vec<u16>>) -> Self {
        Self { tag: None, trunks: trunks.into() }
    }

    /// Adds untagged frames, in this VLAN.
    #[must_use]
    pub const fn with_tag(mut self, tag: u16) -> Self {
        self.tag = Some(tag);
        self
    }
}

impl Tunnel {
    /// A tunnel to this host.
    pub const fn new(kind: TunnelKind, remote: IpAddr) -> Self {
        Self { kind, remote, local: None, vni: None, port: None }
    }

    /// Sets this host's address; see [`local`](Self::local).
    #[must_use]
    pub const fn from_local(mut self, local: IpAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// Sets the identifier; see [`vni`](Self::vni).
    #[must_use]
    pub const fn with_vni(mut self, vni: u32) -> Self {
        self.vni = Some(vni);
        self
    }

    /// Sets the UDP port; see [`port`](Self::port).
    #[must_use]
    pub const fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }
}

impl TunnelKind {
    /// The UDP port of its RFC.
    pub const fn port(self) -> u16 {
        match self {
            Self::Vxlan => 4789,
            Self::Geneve => 6081,
        }
    }

    /// The bytes that a tunnel adds to a packet: IP, UDP (8), the encapsulation (8) and the inner Ethernet header (14).
    pub const fn overhead(remote: IpAddr) -> u16 {
        match remote {
            IpAddr::V4(_) => 20 + 8 + 8 + 14,
            IpAddr::V6(_) => 40 + 8 + 8 + 14,
        }
    }
}
