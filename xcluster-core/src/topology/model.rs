//! The types of a topology, with the defaults of the original xcluster.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use crate::addr::Ipv6Prefix;
use crate::name::{NameError, NetId, NodeId, Role};

/// The nets and nodes of a cluster, and their routes.
///
/// The default is that of the original xcluster: four workers on nets 0 and 1, two routers on nets 0, 1 and 2, and no testers.
/// Workers and testers have a default route over all routers, and routers masquerade towards the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Topology {
    /// The MTU of each net that does not set its own, in bytes, 1280–65535. A net whose backend carries less gets the maximum of
    /// the backend.
    pub mtu: u16,
    /// The first part of IPv6 addresses: `PREFIX:192.168.0.1` is an address.
    pub ipv6_prefix: Ipv6Prefix,
    /// Settings of single nets. A net also exists without an entry here if a node is on it.
    #[serde(rename = "net")]
    pub nets: BTreeMap<NetId, NetSpec>,
    /// Settings of the roles: how many nodes each has, and their properties.
    #[serde(rename = "role")]
    pub roles: Roles,
    /// Settings of single nodes, where they differ from their role.
    #[serde(rename = "node")]
    pub nodes: BTreeMap<NodeId, NodeSpec>,
    /// Settings of the backends, by the name of the backend. Only the backend knows their meaning.
    #[serde(rename = "backend", skip_serializing_if = "BTreeMap::is_empty")]
    pub backends: BTreeMap<String, Map<String, Value>>,
    /// Routes, for both IP versions.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// Nets whose traffic gets the node's own address when it leaves towards the host, for both IP versions.
    #[serde(rename = "masquerade")]
    pub masquerades: Vec<Masquerade>,
}

impl Topology {
    /// The MTU of Ethernet, and of the original xcluster.
    pub const MTU: u16 = 1500;
    /// The smallest MTU: the minimum of IPv6 (RFC 8200).
    pub const MTU_MIN: u16 = 1280;
    /// The maximum number of NICs of a node: QEMU's PCI bus has 32 slots, and QEMU's own devices need some.
    pub const NICS_MAX: usize = 24;
    /// The smallest memory of a node in MiB: with less, a kernel cannot unpack an initramfs.
    pub const MEMORY_MIN: u32 = 64;

    /// Returns the settings of a role, to change them.
    pub fn role_mut(&mut self, role: Role) -> &mut RoleSpec {
        match role {
            Role::Workers => &mut self.roles.workers,
            Role::Routers => &mut self.roles.routers,
            Role::Testers => &mut self.roles.testers,
        }
    }

    /// Returns the settings of a role.
    pub const fn role(&self, role: Role) -> &RoleSpec {
        match role {
            Role::Workers => &self.roles.workers,
            Role::Routers => &self.roles.routers,
            Role::Testers => &self.roles.testers,
        }
    }

    /// Returns the settings of a single node, to change them.
    pub fn node_mut(&mut self, node: NodeId) -> &mut NodeSpec {
        self.nodes.entry(node).or_default()
    }
}

impl Default for Topology {
    fn default() -> Self {
        let over_routers = |on, net| Route {
            on: NodeSelector::Role(on),
            to: Destination::Default,
            via: vec![Hop { net, node: NodeSelector::Role(Role::Routers) }],
        };
        Self {
            mtu: Self::MTU,
            ipv6_prefix: Ipv6Prefix::default(),
            nets: BTreeMap::new(),
            roles: Roles::default(),
            nodes: BTreeMap::new(),
            backends: BTreeMap::new(),
            routes: vec![over_routers(Role::Workers, NetId::CLUSTER), over_routers(Role::Testers, NetId::EXTERNAL)],
            masquerades: vec![Masquerade {
                on: NodeSelector::Role(Role::Routers),
                nets: vec![NetId::CLUSTER, NetId::EXTERNAL],
            }],
        }
    }
}

/// The purpose of a net.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NetKind {
    /// Net 0: connects all nodes and the host, for control.
    Internal,
    /// Connects workers and routers.
    Cluster,
    /// Outside of the cluster: connects routers and testers.
    External,
    /// Any other purpose.
    Other,
}

impl NetKind {
    /// Returns the default kind of a net: 0, 1 and 2 are internal, cluster and external.
    pub const fn usual(net: NetId) -> Self {
        match net {
            NetId::INTERNAL => Self::Internal,
            NetId::CLUSTER => Self::Cluster,
            NetId::EXTERNAL => Self::External,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for NetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `pad` respects the width of a format string.
        f.pad(match self {
            Self::Internal => "internal",
            Self::Cluster => "cluster",
            Self::External => "external",
            Self::Other => "other",
        })
    }
}

/// Settings of a net.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetSpec {
    /// The purpose of the net; by default internal for 0, cluster for 1, external for 2, other for the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<NetKind>,
    /// The MTU of this net in bytes, 1280–65535. It is an error if the backend carries less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// The name of the backend of this net; by default that of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

/// Settings of each role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Roles {
    /// Workers, 1–200. The key `nodes` is accepted too.
    #[serde(alias = "nodes")]
    pub workers: RoleSpec,
    /// Routers, 201–220.
    pub routers: RoleSpec,
    /// Testers, 221–240.
    pub testers: RoleSpec,
}

/// The number of nodes with a role, and their properties. The defaults are:
///
/// | | workers | routers | testers |
/// |---|---|---|---|
/// | count | 4 | 2 | 0 |
/// | nets | 0, 1 | 0, 1, 2 | 0, 2 |
/// | memory, cpus | 128 MiB, 2 | 128 MiB, 2 | 128 MiB, 2 |
/// | forward | no | yes | no |
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RoleSpec {
    /// How many nodes there are; they get the first numbers of the role.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u16>,
    /// The numbers of the nodes, if they are not the first of the role. Excludes `count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<NodeId>>,
    /// The nets of each node, in the order of eth0, eth1…; net 0 must be first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nets: Option<Vec<NetId>>,
    /// Memory in MiB, at least 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// Virtual processors, 1–255.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u8>,
    /// Args added to the kernel's command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_args: Option<String>,
    /// Whether they forward packets between their nets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<bool>,
    /// Groups of nets that each node connects with a bridge, as in `[[1, 2]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridges: Option<Vec<Vec<NetId>>>,
    /// TCP ports that the host can reach, besides telnet and ssh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose: Option<Vec<u16>>,
}

/// Settings of a single node. Values that are not set are those of its role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NodeSpec {
    /// The nets of the node, in the order of eth0, eth1…; net 0 must be first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nets: Option<Vec<NetId>>,
    /// Memory in MiB, at least 64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// Virtual processors, 1–255.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u8>,
    /// Args added to the kernel's command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_args: Option<String>,
    /// Whether it forwards packets between its nets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<bool>,
    /// Groups of nets that the node connects with a bridge, as in `[[1, 2]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridges: Option<Vec<Vec<NetId>>>,
    /// TCP ports that the host can reach, besides telnet and ssh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose: Option<Vec<u16>>,
}

impl NodeSpec {
    /// Replaces the values that `newer` sets.
    pub fn merge(&mut self, newer: Self) {
        let Self { nets, memory, cpus, kernel_args, forward, bridges, expose } = newer;
        replace(&mut self.nets, nets);
        replace(&mut self.memory, memory);
        replace(&mut self.cpus, cpus);
        replace(&mut self.kernel_args, kernel_args);
        replace(&mut self.forward, forward);
        replace(&mut self.bridges, bridges);
        replace(&mut self.expose, expose);
    }
}

fn replace<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}

/// A route, in both IPv4 and IPv6. With several hops it is a multipath route (ECMP).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The nodes that get the route. Of a role, only the nodes that share a net with a hop.
    pub on: NodeSelector,
    /// The destination.
    pub to: Destination,
    /// The next hops.
    pub via: Vec<Hop>,
}

/// A next hop: the address of `node` on `net`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// The net on which the hop is reached.
    pub net: NetId,
    /// The node; of a role, all nodes on that net.
    pub node: NodeSelector,
}

/// Nets whose traffic leaves eth0 of a node with the address of that node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Masquerade {
    /// The nodes that masquerade.
    pub on: NodeSelector,
    /// The nets whose addresses are replaced.
    pub nets: Vec<NetId>,
}

/// A role or a single node; in files `"routers"` or `201`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeSelector {
    /// All nodes with the role.
    Role(Role),
    /// One node.
    Node(NodeId),
}

impl fmt::Display for NodeSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Role(role) => role.fmt(f),
            Self::Node(node) => node.number().fmt(f),
        }
    }
}

impl FromStr for NodeSelector {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.bytes().all(|b| b.is_ascii_digit()) {
            text.parse().map(Self::Node)
        } else {
            text.parse().map(Self::Role)
        }
    }
}

/// The destination of a route; in files `"default"` or the number of a net.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// All addresses without a more specific route.
    Default,
    /// A net.
    Net(NetId),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Net(net) => net.fmt(f),
        }
    }
}

impl FromStr for Destination {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text == "default" { Ok(Self::Default) } else { text.parse().map(Self::Net) }
    }
}

/// Implements serde for types that are a string or a number in files: the `Display` form, as a number if it is one.
macro_rules! word_or_number {
    ($type:ident, $what:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let text = self.to_string();
                match text.parse::<u16>() {
                    Ok(number) => serializer.serialize_u16(number),
                    Err(_) => serializer.serialize_str(&text),
                }
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $type;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_u64<E: de::Error>(self, number: u64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }

                    fn visit_i64<E: de::Error>(self, number: i64) -> Result<$type, E> {
                        self.visit_str(&number.to_string())
                    }
                }
                deserializer.deserialize_any(Visitor)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "description": $what, "type": ["string", "integer"] })
            }
        }
    };
}

word_or_number!(NodeSelector, "`workers`, `routers`, `testers` or the number of a node");
word_or_number!(Destination, "`default` or the number of a net");
