//! The names of nodes, nets, roles and clusters, as types. A value is checked when it is made, so it is always valid.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error_chain;

/// Why a text or number is not a name.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The number is outside of the ranges of all roles.
    #[error("`{0}` is not a node: workers are 1–200, routers 201–220, testers 221–240")]
    Node(String),
    /// The number is too large for a net, or the text is not a number.
    #[error("`{0}` is not a net: nets are numbered 0–255")]
    Net(String),
    /// The text is not a cluster name.
    #[error("`{0}` is not a cluster name: use 1–{max} characters of a–z, 0–9, `-` and `_`, with a letter or digit first", max = ClusterName::MAX)]
    Cluster(String),
    /// The text is not a role.
    #[error("`{0}` is not a role: use `workers`, `routers` or `testers`")]
    Role(String),
}

error_chain::readable_debug!(NameError);

/// For functions that accept a text or a name: converting a name never fails.
impl From<Infallible> for NameError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// What a node is for. The number of a node gives its role; the ranges are those of the original xcluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A member of the cluster, 1–200. Files and selectors accept `nodes` for it.
    #[serde(alias = "nodes")]
    Workers,
    /// A router between the cluster net and the external net, 201–220.
    Routers,
    /// A node outside of the cluster, 221–240.
    Testers,
}

impl Role {
    /// All roles, in the order of their numbers, in which nodes are also started.
    pub const ALL: [Self; 3] = [Self::Workers, Self::Routers, Self::Testers];

    /// The smallest and the largest number of a node with this role.
    pub const fn range(self) -> (u16, u16) {
        match self {
            Self::Workers => (1, 200),
            Self::Routers => (201, 220),
            Self::Testers => (221, 240),
        }
    }

    /// How many nodes can have this role.
    pub const fn capacity(self) -> u16 {
        let (first, last) = self.range();
        last - first + 1
    }

    /// The node with this index, counted from zero; `None` if the role has fewer numbers.
    pub fn node(self, index: u16) -> Option<NodeId> {
        let (first, last) = self.range();
        first.checked_add(index).filter(|n| *n <= last).map(NodeId)
    }

    /// The role's name for one node: `worker`, `router`, `tester`.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Workers => "worker",
            Self::Routers => "router",
            Self::Testers => "tester",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.singular())
    }
}

impl FromStr for Role {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // The role's earlier name, which files may still have.
        let text = if text == "nodes" { "workers" } else { text };
        Self::ALL.into_iter().find(|role| role.to_string() == text).ok_or_else(|| NameError::Role(text.to_owned()))
    }
}

/// The number of a node, 1–240; it gives the node its role, name and addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "u16", into = "u16")]
#[cfg_attr(feature = "schema", schemars(with = "u8"))]
pub struct NodeId(u16);

impl NodeId {
    /// The node with this number.
    ///
    /// # Errors
    /// The number is not in 1–240.
    pub fn new(number: u16) -> Result<Self, NameError> {
        match number {
            1..=240 => Ok(Self(number)),
            _ => Err(NameError::Node(number.to_string())),
        }
    }

    /// The number itself.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// What the node is for.
    pub fn role(self) -> Role {
        match self.0 {
            0..=200 => Role::Workers,
            201..=220 => Role::Routers,
            _ => Role::Testers,
        }
    }
}

/// The host name of the node: `vm-001`.
impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vm-{:03}", self.0)
    }
}

/// Reads `7` or `vm-007`.
impl FromStr for NodeId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        decimal(text.strip_prefix("vm-").unwrap_or(text))
            .and_then(|number| Self::new(number).ok())
            .ok_or_else(|| NameError::Node(text.to_owned()))
    }
}

impl TryFrom<u16> for NodeId {
    type Error = NameError;

    fn try_from(number: u16) -> Result<Self, NameError> {
        Self::new(number)
    }
}

impl From<NodeId> for u16 {
    fn from(node: NodeId) -> Self {
        node.0
    }
}

/// The number of a net, 0–255. Net 0 is the internal net and always eth0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct NetId(u8);

impl NetId {
    /// The internal net, on which the host reaches every node.
    pub const INTERNAL: Self = Self(0);
    /// The cluster net: workers and routers.
    pub const CLUSTER: Self = Self(1);
    /// The external net: routers and testers.
    pub const EXTERNAL: Self = Self(2);

    /// The net with this number.
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// The number itself.
    pub const fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for NetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for NetId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        decimal(text).and_then(|n| u8::try_from(n).ok()).map(Self).ok_or_else(|| NameError::Net(text.to_owned()))
    }
}

impl From<u8> for NetId {
    fn from(number: u8) -> Self {
        Self(number)
    }
}

/// The name of a cluster, unique among the running clusters of a user. It is also the name of a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct ClusterName(String);

impl ClusterName {
    /// The maximum length of a name. The path of the control socket must fit into 108 bytes (`sun_path` in unix(7)), together
    /// with the runtime folder.
    pub const MAX: usize = 32;

    /// Makes a name from a text.
    ///
    /// # Errors
    /// The text is empty or longer than [`Self::MAX`], has other characters than `a–z`, `0–9`, `-` and `_`, or does not begin
    /// with a letter or digit.
    pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
        let text = text.into();
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let plain = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_');
        if first && plain && text.len() <= Self::MAX { Ok(Self(text)) } else { Err(NameError::Cluster(text)) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for ClusterName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ClusterName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl TryFrom<String> for ClusterName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        name.0
    }
}

/// Reads a decimal number without a sign: `u16::from_str` alone accepts `+7`.
fn decimal(text: &str) -> Option<u16> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_as_number_or_name() {
        for text in ["7", "007", "vm-007"] {
            assert_eq!(text.parse::<NodeId>().unwrap().to_string(), "vm-007");
        }
        for text in ["", "0", "241", "250", "vm-", "+7", "-1", "x", "vm-vm-1", "70000"] {
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_number_gives_the_role() {
        let role = |n| NodeId::new(n).unwrap().role();
        assert_eq!([role(1), role(200)], [Role::Workers; 2]);
        assert_eq!([role(201), role(220)], [Role::Routers; 2]);
        assert_eq!([role(221), role(240)], [Role::Testers; 2]);
    }

    #[test]
    fn a_role_ends_where_the_next_begins() {
        assert_eq!(Role::Routers.node(0), NodeId::new(201).ok());
        assert_eq!(Role::Routers.node(19), NodeId::new(220).ok());
        assert_eq!(Role::Routers.node(20), None);
        assert_eq!(Role::Workers.node(u16::MAX), None);
    }

    #[test]
    fn a_cluster_name_is_plain_and_short() {
        assert!(ClusterName::new("ci-7_a").is_ok());
        for text in ["", "-a", "a/b", "..", "A", "ä", &"a".repeat(33)] {
            assert!(ClusterName::new(text).is_err(), "{text}");
        }
    }
}
