//! Everything that a start will do, as data: the topology and the options with all questions answered. Pure; neither
//! root nor QEMU is needed to make or print one.
//!
//! * [`Plan`]: nets, nodes and their NICs, resolved.
//! * [`Step`]: what is done, in order; the same values report progress while it is done.
//! * [`Options`]: what is wanted beyond the topology.
//! * [`NodeBoot`]: a node as somebody starts it by himself, and what then becomes of the plan.

mod build;
mod display;
mod node_boot;
mod options;
mod step;

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

/// TCP ports that the standard guest listens on on the internal net: telnet and ssh.
pub const LOGIN_PORTS: [u16; 2] = [TELNET_PORT, SSH_PORT];

/// Ports of node 1 that the original xcluster forwards for Kubernetes: a web server and the API server.
pub const K8S_PORTS: [u16; 2] = [8080, 6443];

/// What a start will do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Plan {
    /// The cluster's name.
    pub name: ClusterName,
    /// What was wanted.
    pub topology: Topology,
    /// How nodes and nets are numbered.
    pub addressing: Addressing,
    /// The nets, by number.
    pub nets: Vec<PlannedNet>,
    /// The nodes, in the order in which they are started.
    pub nodes: Vec<PlannedNode>,
    /// The network namespace of the cluster, if a backend needs one.
    pub netns: Option<Netns>,
    /// What was asked for beyond the topology.
    pub options: Options,
    /// What differs from what was asked, and why: people should know before they wonder.
    pub notes: Vec<String>,
}

/// A net and who carries it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PlannedNet {
    /// The net as its backend sees it.
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
    /// What the topology says of it.
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
    /// Its hardware address.
    pub mac: MacAddr,
    /// IPv4 address with prefix length.
    pub ipv4: String,
    /// IPv6 address with prefix length.
    pub ipv6: String,
    /// The backend that wires it.
    pub backend: String,
    /// What the backend is asked for.
    pub port: Port,
}

impl Plan {
    /// The planned node of this number.
    pub fn node(&self, id: NodeId) -> Option<&PlannedNode> {
        self.nodes.iter().find(|planned| planned.node.id == id)
    }

    /// The planned net of this number.
    pub fn net(&self, id: NetId) -> Option<&PlannedNet> {
        self.nets.iter().find(|planned| planned.net.id == id)
    }

    /// The names of the backends that are used, each once, in the order of the nets.
    pub fn backends(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for net in &self.nets {
            if !names.contains(&net.backend.as_str()) {
                names.push(&net.backend);
            }
        }
        names
    }

    /// The numbers of all nodes, for people: `1–4 201 202`.
    pub fn node_numbers(&self) -> String {
        display::ranges(self.nodes.iter().map(|planned| planned.node.id))
    }

    /// The memory of all nodes together, in MiB.
    pub fn memory(&self) -> u64 {
        self.nodes.iter().map(|planned| u64::from(planned.node.memory)).sum()
    }
}
