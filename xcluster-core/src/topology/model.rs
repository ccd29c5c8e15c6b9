//! The topology as data, with the defaults of the original xcluster. Says nothing of how it is read or judged.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use crate::addr::Ipv6Prefix;
use crate::name::{NameError, NetId, NodeId, Role};

/// The nets of a cluster and who is on them.
///
/// The default is the original xcluster's: four nodes on nets 0 and 1, two routers on nets 0, 1 and 2, no testers; nodes
/// and testers route over all routers, which masquerade towards the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Topology {
    /// The MTU of every net that does not set its own, in bytes, 1280–65535. Nets whose backend carries less get what it
    /// carries.
    pub mtu: u16,
    /// The upper part of IPv6 addresses: `PREFIX:192.168.0.1` is an address.
    pub ipv6_prefix: Ipv6Prefix,
    /// What differs from the usual for a net. A net that a node names exists without being listed here.
    #[serde(rename = "net")]
    pub nets: BTreeMap<NetId, NetSpec>,
    /// What differs from the usual for a role: how many there are and what they are like.
    #[serde(rename = "role")]
    pub roles: Roles,
    /// What differs from its role for a single node.
    #[serde(rename = "node")]
    pub nodes: BTreeMap<NodeId, NodeSpec>,
    /// What is said to backends, by their names, and understood by them alone.
    #[serde(rename = "backend", skip_serializing_if = "BTreeMap::is_empty")]
    pub backends: BTreeMap<String, Map<String, Value>>,
    /// Routes, for both IP versions.
    #[serde(rename = "route")]
    pub routes: Vec<Route>,
    /// Nets whose traffic takes on a router's own address when it leaves for the host, for both IP versions.
    #[serde(rename = "masquerade")]
    pub masquerades: Vec<Masquerade>,
}

impl Topology {
    /// The MTU of Ethernet, and of the original xcluster.
    pub const MTU: u16 = 1500;
    /// The smallest MTU: the least that IPv6 works with (RFC 8200).
    pub const MTU_MIN: u16 = 1280;
    /// The most NICs of a node: what is left of the 32 slots of QEMU's PCI bus after its own devices.
    pub const NICS_MAX: usize = 24;
    /// The least memory of a node in MiB: below it a kernel does not unpack the guest.
    pub const MEMORY_MIN: u32 = 64;

    /// The specification of a role, to be changed.
    pub fn role_mut(&mut self, role: Role) -> &mut RoleSpec {
        match role {
            Role::Workers => &mut self.roles.workers,
            Role::Routers => &mut self.roles.routers,
            Role::Testers => &mut self.roles.testers,
        }
    }

    /// The specification of a role.
    pub const fn role(&self, role: Role) -> &RoleSpec {
        match role {
            Role::Workers => &self.roles.workers,
            Role::Routers => &self.roles.routers,
            Role::Testers => &self.roles.testers,
        }
    }

    /// The specification of a single node, to be changed.
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

/// What a net is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum NetKind {
    /// Net 0: all nodes and the host, for control.
    Internal,
    /// Between nodes and routers.
    Cluster,
    /// The outside world: routers and testers.
    External,
    /// Whatever else a topology needs.
    Other,
}

impl NetKind {
    /// The kind of a net whose specification names none: 0, 1 and 2 are internal, cluster and external.
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
        // `pad` keeps to the width that is asked for.
        f.pad(match self {
            Self::Internal => "internal",
            Self::Cluster => "cluster",
            Self::External => "external",
            Self::Other => "other",
        })
    }
}

/// What differs from the usual for a net.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetSpec {
    /// What the net is for; by default internal for 0, cluster for 1, external for 2, other for the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<NetKind>,
    /// The net's own MTU in bytes, 1280–65535. A backend that carries less is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u16>,
    /// The net's own backend, by name; by default the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

/// What differs from the usual, role by role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Roles {
    /// Workers, 1–200; the key `nodes` means the same.
    #[serde(alias = "nodes")]
    pub workers: RoleSpec,
    /// Routers, 201–220.
    pub routers: RoleSpec,
    /// Testers, 221–240.
    pub testers: RoleSpec,
}

/// How many nodes have a role, and what they are like. What is not set is as the role has it by default:
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
    /// How many there are; they take the role's first numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u8>,
    /// The numbers themselves, where they are not the role's first ones; then `count` must be absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<NodeId>>,
    /// The nets that each is on, in the order that makes eth0, eth1…; net 0 first.
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
    /// Groups of nets that each joins with a bridge of its own, as in `[[1, 2]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridges: Option<Vec<Vec<NetId>>>,
    /// TCP ports that the host shall reach, besides telnet and ssh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose: Option<Vec<u16>>,
}

/// What differs from its role for a single node. What is not set is as the role has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NodeSpec {
    /// The nets that it is on, in the order that makes eth0, eth1…; net 0 first.
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
    /// Groups of nets that it joins with a bridge of its own, as in `[[1, 2]]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridges: Option<Vec<Vec<NetId>>>,
    /// TCP ports that the host shall reach, besides telnet and ssh.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expose: Option<Vec<u16>>,
}

impl NodeSpec {
    /// Puts what `newer` sets over what this one has.
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

/// A route that nodes have, in IPv4 and IPv6 alike. Several hops make it multipath (ECMP).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Who has the route. Of a role, those have it who share a net with a hop.
    pub on: NodeSelector,
    /// Where it leads.
    pub to: Destination,
    /// Over whom.
    pub via: Vec<Hop>,
}

/// A neighbour that a route leads over: `node`'s address on `net`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// The net that the neighbour is reached on.
    pub net: NetId,
    /// The neighbour; of a role, everyone who is on that net.
    pub node: NodeSelector,
}

/// Nets whose traffic leaves a node's eth0 with the node's own address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Masquerade {
    /// Who masquerades.
    pub on: NodeSelector,
    /// The nets whose addresses are hidden.
    pub nets: Vec<NetId>,
}

/// A role or a single node; in files `"routers"` or `201`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeSelector {
    /// Everyone with the role.
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

/// Where a route leads; in files `"default"` or the number of a net.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// Everywhere that no other route leads.
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

/// Serde for what is a word or a number in files: written as it is displayed, a number as a number.
macro_rules! word_or_number {
    ($type:ident, $what:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let text = self.to_string();
                match text.parse::<u8>() {
                    Ok(number) => serializer.serialize_u8(number),
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
