//! The plan of a start, as data: the topology and the options with all defaults filled in, and the list of steps. Pure: a plan
//! needs neither root nor QEMU.
//!
//! * [`Plan`]: the nets, the nodes and their NICs.
//! * [`Step`]: one action of the start. Events report the same values while the start runs.
//! * [`Options`]: everything about a cluster that is not in the topology.
//! * [`NodeBoot`]: the boot of a single node, and how it changes the plan.

mod build;
mod display;
mod node_boot;
mod options;
mod step;

use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::addr::{Addressing, MacAddr};
use crate::host::Netns;
use crate::name::{ClusterName, NetId, NodeId, Role};
use crate::net::{Net, Port};
use crate::topology::{Node, Topology};

pub use node_boot::NodeBoot;
pub use options::{Accel, GuestSource, Identity, Options, Readiness};
pub use step::Step;

/// The TCP port of telnet.
pub const TELNET_PORT: u16 = 23;

/// The TCP port of ssh.
pub const SSH_PORT: u16 = 22;

/// The TCP ports for logins to the standard guest on the internal net: telnet and ssh.
pub const LOGIN_PORTS: [u16; 2] = [TELNET_PORT, SSH_PORT];

/// The TCP ports of node 1 that the original xcluster forwards for Kubernetes: a web server and the API server.
pub const K8S_PORTS: [u16; 2] = [8080, 6443];

/// The plan of a start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// The cluster's name.
    pub name: ClusterName,
    /// The topology.
    pub topology: Topology,
    /// The addresses of nodes and nets.
    pub addressing: Addressing,
    /// The nets, by number.
    pub nets: Vec<PlannedNet>,
    /// The nodes, in the order in which they start.
    pub nodes: Vec<PlannedNode>,
    /// The network namespace of the cluster, if a backend needs one.
    pub netns: Option<Netns>,
    /// The options.
    pub options: Options,
    /// How the plan differs from the topology and the options, and why.
    pub notes: Vec<String>,
}

/// A net and its backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedNet {
    /// The net, as the backend gets it.
    #[serde(flatten)]
    pub net: Net,
    /// The backend's name.
    pub backend: String,
    /// Whether the host is on the net.
    pub host: bool,
}

/// A node and its NICs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedNode {
    /// Its host name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// The node in the topology.
    #[serde(flatten)]
    pub node: Node,
    /// Its NICs, eth0 first.
    pub nics: Vec<PlannedNic>,
}

/// A NIC of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedNic {
    /// Its name in the guest.
    pub name: String,
    /// Its MAC address.
    pub mac: MacAddr,
    /// Its IPv4 address. Serialised with the prefix length: `192.168.0.1/24`.
    #[serde(with = "crate::addr::with_prefix_len")]
    pub ipv4: Ipv4Addr,
    /// Its IPv6 address. Serialised with the prefix length: `1000::1:c0a8:1/120`.
    #[serde(with = "crate::addr::with_prefix_len")]
    pub ipv6: Ipv6Addr,
    /// The backend that sets up its port.
    pub backend: String,
    /// The port, as the backend gets it.
    pub port: Port,
}

impl Plan {
    /// The planned node with this number.
    pub fn node(&self, id: NodeId) -> Option<&PlannedNode> {
        self.nodes.iter().find(|planned| planned.node.id == id)
    }

    /// The planned net with this number.
    pub fn net(&self, id: NetId) -> Option<&PlannedNet> {
        self.nets.iter().find(|planned| planned.net.id == id)
    }

    /// The names of the backends, each once, in the order of the nets.
    pub fn backends(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for net in &self.nets {
            if !names.contains(&net.backend.as_str()) {
                names.push(&net.backend);
            }
        }
        names
    }

    /// The sum of the nodes' memory, in MiB.
    pub fn memory(&self) -> u64 {
        self.nodes.iter().map(|planned| u64::from(planned.node.memory)).sum()
    }
}
