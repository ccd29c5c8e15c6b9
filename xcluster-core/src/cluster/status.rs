//! The status of a running cluster, as plain data for people and scripts.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::addr::MacAddr;
use crate::host::Netns;
use crate::name::{ClusterName, NetId, NodeId, Role};
use crate::net::{Forward, HostAccess};
use crate::qemu::accel::AccelChoice;
use crate::topology::NetKind;

/// A running cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClusterStatus {
    /// Its name.
    pub name: ClusterName,
    /// The process that owns it: the cluster ends when this process does.
    pub owner: u32,
    /// The folder with its logs.
    pub folder: PathBuf,
    /// The version of this library that runs it.
    pub version: String,
    /// How it is.
    pub state: ClusterState,
    /// The accelerator and the reason for it, once that is known.
    pub accel: Option<AccelChoice>,
    /// Whether everybody may log in by telnet and ssh.
    pub login: bool,
    /// The network namespace that its networks are in, if they are in one.
    #[serde(default)]
    pub netns: Option<Netns>,
    /// Its nets.
    pub nets: Vec<NetStatus>,
    /// Its nodes, by number.
    pub nodes: Vec<NodeStatus>,
}

/// How a cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterState {
    /// It is being opened, or its nodes are being started.
    Starting,
    /// It is open, and every node that was to be started with it was ready; single ones may have ended since, or wait.
    Ready,
    /// The start failed, and everything was undone.
    Failed,
}

/// A net of a running cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NetStatus {
    /// Its number.
    pub id: NetId,
    /// Its purpose.
    pub kind: NetKind,
    /// Its MTU in bytes.
    pub mtu: u16,
    /// The backend that carries it.
    pub backend: String,
    /// Whether the host is on it.
    #[serde(default)]
    pub host: bool,
}

/// A node of a running cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its number.
    pub id: NodeId,
    /// Its host name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// How it is.
    pub state: NodeState,
    /// Why, if it failed.
    pub reason: Option<String>,
    /// The process id of its QEMU, while that runs.
    pub pid: Option<u32>,
    /// From QEMU's start until it was ready. Serialised in whole milliseconds, as `boot_millis`.
    #[serde(rename = "boot_millis", default, with = "super::event::millis::optional")]
    pub boot_time: Option<Duration>,
    /// Its NICs, eth0 first.
    pub nics: Vec<NicStatus>,
    /// Which of its TCP ports are found where on this host.
    pub forwards: Vec<Forward>,
}

/// A NIC of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NicStatus {
    /// Its name in the guest.
    pub name: String,
    /// Its net.
    pub net: NetId,
    /// Its hardware address.
    pub mac: MacAddr,
    /// Its IPv4 address. Serialised with the prefix length: `192.168.0.1/24`.
    #[serde(with = "crate::addr::with_prefix_len")]
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address. Serialised with the prefix length: `1000::1:c0a8:1/120`.
    #[serde(with = "crate::addr::with_prefix_len")]
    pub ipv6: Ipv6Addr,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Not started yet: others boot first, or no boot was requested.
    Waiting,
    /// QEMU runs and the guest boots.
    Booting,
    /// It can be used.
    Ready,
    /// It did not start, or has ended by itself.
    Failed,
    /// It was stopped.
    Stopped,
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting",
            Self::Booting => "booting",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        })
    }
}

/// A port that is set up for a QEMU of another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NamedPort {
    /// The args for QEMU, which must run in the cluster's network namespace, if it has one.
    pub args: Vec<String>,
    /// How the host reaches the node's TCP ports over the NIC.
    pub access: HostAccess,
}
