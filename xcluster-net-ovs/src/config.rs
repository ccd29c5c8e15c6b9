//! What a user can set about Open vSwitch, as data. What is wrong with it is found by `check`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use xcluster_core::name::{NetId, NodeId};

/// The name that topologies and `--net` choose this backend by.
pub(crate) const NAME: &str = "ovs";

/// The largest MTU. A tap takes frames of 65535 bytes (`MAX_MTU` of drivers/net/tun.c), of which 14 are the Ethernet header.
pub(crate) const MTU_MAX: u16 = 65535 - 14;

/// Whose Open vSwitch carries the nets, and what each net has of it beyond joining its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OvsConfig {
    /// Whose it is. Default: the cluster's own.
    pub instance: Instance,
    /// Where the database of the host's is, as `ovs-vsctl --db` takes it. Default: `unix:/var/run/openvswitch/db.sock`.
    pub db: String,
    /// Whether the host is on each net, as its node 250. Clusters on the host's Open vSwitch that have it there cannot have the
    /// same nets at the same time, since their addresses are the same. Default: yes.
    pub host: bool,
    /// The folder of the programs of Open vSwitch. Default: they are looked for where commands are, and in `/usr/sbin`.
    pub programs: Option<PathBuf>,
    /// What single nets have, by number.
    #[serde(rename = "net")]
    pub nets: BTreeMap<NetId, OvsNet>,
}

/// Whose Open vSwitch it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Instance {
    /// The cluster's own: started for it, and gone with its owner.
    #[default]
    Private,
    /// The host's, which runs already.
    System,
}

/// What a net has beyond joining its nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OvsNet {
    /// The VLAN that nodes and the host are in, 1–4094: frames have its tag within the switch alone. Default: none.
    pub tag: Option<u16>,
    /// The VLANs, 0–4094, whose tagged frames nodes may send and get; 0 is untagged frames. With a `tag`, untagged frames are in
    /// that VLAN. Default: without a `tag` all, with one none.
    pub trunks: Vec<u16>,
    /// Whether all frames of the net are copied to a link `xcbrN_cap` in the cluster's network namespace. Default: no.
    pub mirror: bool,
    /// A file of OpenFlow rules, as `ovs-ofctl add-flows` takes it. Node n is port n, the host is `LOCAL`. Default: none.
    pub flows: Option<PathBuf>,
    /// What the switch does where no rule applies. Default: it forwards as a switch that learns.
    pub fail_mode: FailMode,
    /// OpenFlow controllers, as `ovs-vsctl set-controller` takes them: `tcp:192.168.0.250:6653`. Default: none.
    pub controllers: Vec<String>,
    /// Other hosts with the same net of another cluster: all of them together are one net, on which no host is. Default: none.
    #[serde(rename = "tunnel")]
    pub tunnels: Vec<Tunnel>,
    /// What single nodes have instead, by number.
    #[serde(rename = "node")]
    pub nodes: BTreeMap<NodeId, OvsPort>,
}

/// In which VLANs a node is, instead of what its net says: both settings together replace both of the net.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OvsPort {
    /// The VLAN of its untagged frames, 1–4094; see [`OvsNet::tag`].
    pub tag: Option<u16>,
    /// The VLANs of its tagged frames, 0–4094; see [`OvsNet::trunks`].
    pub trunks: Vec<u16>,
}

/// What a switch does on its own (`fail_mode` of ovs-vswitchd.conf.db(5)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FailMode {
    /// It forwards as a switch that learns, where no controller answers.
    #[default]
    Standalone,
    /// Nothing passes but what rules let pass.
    Secure,
}

/// A way to the same net on another host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tunnel {
    /// How frames are wrapped.
    #[serde(rename = "type")]
    pub kind: TunnelKind,
    /// The other host's address, in the network namespace that this cluster is in.
    pub remote: IpAddr,
    /// This host's address, where the routes shall not choose it. VXLAN alone has it.
    #[serde(default)]
    pub local: Option<IpAddr>,
    /// The number by which both ends know the net, 0–16777215. Default: that of the net.
    #[serde(default)]
    pub vni: Option<u32>,
    /// The port of UDP at both ends. Default: that of the kind.
    #[serde(default)]
    pub port: Option<u16>,
}

/// How frames are wrapped on their way.
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
    /// Where the host's database usually is.
    pub const SYSTEM_DB: &str = "unix:/var/run/openvswitch/db.sock";

    /// The same on the host's Open vSwitch, with this database.
    #[must_use]
    pub fn on_system(mut self, db: impl Into<String>) -> Self {
        self.instance = Instance::System;
        self.db = db.into();
        self
    }

    /// The same without the host on any net.
    #[must_use]
    pub const fn without_host(mut self) -> Self {
        self.host = false;
        self
    }

    /// The same with the programs in this folder.
    #[must_use]
    pub fn with_programs(mut self, folder: impl Into<PathBuf>) -> Self {
        self.programs = Some(folder.into());
        self
    }

    /// The same with this for a net.
    #[must_use]
    pub fn with_net(mut self, net: NetId, settings: OvsNet) -> Self {
        self.nets.insert(net, settings);
        self
    }

    /// Whether the host is on a net. Not where other hosts are joined to it: all of them would have one address.
    pub(crate) fn has_host(&self, net: NetId) -> bool {
        self.host && self.nets.get(&net).is_none_or(|net| net.tunnels.is_empty())
    }

    /// What a net has; nothing where nothing is said.
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
    /// The same in this VLAN.
    #[must_use]
    pub const fn with_tag(mut self, tag: u16) -> Self {
        self.tag = Some(tag);
        self
    }

    /// The same with these VLANs as tagged frames.
    #[must_use]
    pub fn with_trunks(mut self, trunks: impl Into<Vec<u16>>) -> Self {
        self.trunks = trunks.into();
        self
    }

    /// The same with a copy of all frames; see [`mirror`](Self::mirror).
    #[must_use]
    pub const fn with_mirror(mut self) -> Self {
        self.mirror = true;
        self
    }

    /// The same with the rules of this file.
    #[must_use]
    pub fn with_flows(mut self, file: impl Into<PathBuf>) -> Self {
        self.flows = Some(file.into());
        self
    }

    /// The same with this for what no rule is about.
    #[must_use]
    pub const fn with_fail_mode(mut self, mode: FailMode) -> Self {
        self.fail_mode = mode;
        self
    }

    /// The same with these controllers.
    #[must_use]
    pub fn with_controllers(mut self, controllers: impl Into<Vec<String>>) -> Self {
        self.controllers = controllers.into();
        self
    }

    /// The same with a way to another host.
    #[must_use]
    pub fn with_tunnel(mut self, tunnel: Tunnel) -> Self {
        self.tunnels.push(tunnel);
        self
    }

    /// The same with a node in other VLANs than the net.
    #[must_use]
    pub fn with_node(mut self, node: NodeId, port: OvsPort) -> Self {
        self.nodes.insert(node, port);
        self
    }
}

impl OvsPort {
    /// Untagged frames alone, in this VLAN.
    pub const fn access(tag: u16) -> Self {
        Self { tag: Some(tag), trunks: Vec::new() }
    }

    /// Tagged frames of these VLANs.
    pub fn trunk(trunks: impl Into<Vec<u16>>) -> Self {
        Self { tag: None, trunks: trunks.into() }
    }

    /// The same with untagged frames in this VLAN.
    #[must_use]
    pub const fn with_tag(mut self, tag: u16) -> Self {
        self.tag = Some(tag);
        self
    }
}

impl Tunnel {
    /// A way to this host.
    pub const fn new(kind: TunnelKind, remote: IpAddr) -> Self {
        Self { kind, remote, local: None, vni: None, port: None }
    }

    /// The same from this address.
    #[must_use]
    pub const fn from_local(mut self, local: IpAddr) -> Self {
        self.local = Some(local);
        self
    }

    /// The same by this number; see [`vni`](Self::vni).
    #[must_use]
    pub const fn with_vni(mut self, vni: u32) -> Self {
        self.vni = Some(vni);
        self
    }

    /// The same on this port of UDP.
    #[must_use]
    pub const fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }
}

impl TunnelKind {
    /// The port of UDP that its RFC gives it.
    pub const fn port(self) -> u16 {
        match self {
            Self::Vxlan => 4789,
            Self::Geneve => 6081,
        }
    }

    /// How many bytes come around a frame, its own Ethernet header included: of IP, UDP (8), the wrapping (8) and
    /// Ethernet (14).
    pub const fn overhead(remote: IpAddr) -> u16 {
        match remote {
            IpAddr::V4(_) => 20 + 8 + 8 + 14,
            IpAddr::V6(_) => 40 + 8 + 8 + 14,
        }
    }
}
