//! The problems of requests to this backend, and their errors at the backend API.

use std::fmt;

use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::NetError;

/// Variables with values that are not such numbers.
#[derive(Clone, PartialEq, Eq)]
pub struct BadVariables(pub Vec<BadVariable>);

xcluster_core::error_chain::readable_debug!(BadVariables);

/// A variable with a value that is not such a number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct BadVariable {
    /// The variable.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// The largest valid number; the smallest is 1.
    pub max: u16,
}

impl std::error::Error for BadVariables {}

impl fmt::Display for BadVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&list(&self.0))
    }
}

impl fmt::Display for BadVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is `{}`, but takes a number from 1 to {}", self.name, self.value, self.max)
    }
}

/// A TCP port of a node, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) net: NetId,
    pub(crate) node: NodeId,
    pub(crate) port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "port {} of {}", self.port, self.node)
    }
}

/// Why nets and ports cannot be carried with these numbers, on any host.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Problem {
    #[error("port {number} of the host is wanted for {first} and for {second}")]
    Overlap { number: u16, first: Target, second: Target },
    #[error("{target} would be on port {number} of the host, and the last port is 65535")]
    Beyond { number: u32, target: Target },
    #[error("net {net} would be the multicast group 224.0.0.{group}, and the last is 224.0.0.255")]
    Group { net: NetId, group: u16 },
}

/// All problems.
pub(crate) fn refuse(problems: impl IntoIterator<Item = Problem>) -> NetError {
    NetError::Refused(list(&problems.into_iter().collect::<Vec<_>>()))
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
