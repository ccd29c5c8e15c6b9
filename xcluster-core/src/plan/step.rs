//! The steps of a start, as data.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::host::Netns;
use crate::name::{NetId, NodeId};

/// One action of a start. A plan lists the steps; a start reports when each begins and ends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Create or open the network namespace.
    Netns {
        /// The namespace.
        netns: Netns,
    },
    /// Start the uplink of the network namespace.
    Uplink,
    /// Find QEMU, find or build the image, and find out whether KVM works.
    Guest,
    /// Check that this host has what a backend needs, and lock the shared numbers.
    Preflight {
        /// The backend.
        backend: String,
    },
    /// Set up a net.
    CreateNet {
        /// The net.
        net: NetId,
        /// The backend that carries it.
        backend: String,
    },
    /// Set up the port of a NIC.
    Setup {
        /// The node.
        node: NodeId,
        /// The net.
        net: NetId,
        /// The backend that carries the net.
        backend: String,
    },
    /// Start QEMU and wait until the node is ready.
    Boot {
        /// The node.
        node: NodeId,
    },
}

impl Plan {
    /// The steps of the start. The steps of different nodes run in parallel.
    pub fn steps(&self) -> Vec<Step> {
        let preflights = self.backends().into_iter().map(|backend| Step::Preflight { backend: backend.to_owned() });
        let nets = self.nets.iter().map(|net| Step::CreateNet { net: net.net.id, backend: net.backend.clone() });
        let nodes = self.nodes.iter().flat_map(|planned| {
            let node = planned.node.id;
            let setups = planned.nics.iter().map(move |nic| Step::Setup {
                node,
                net: nic.port.net.id,
                backend: nic.backend.clone(),
            });
            setups.chain([Step::Boot { node }])
        });
        let netns = self.netns.iter().map(|netns| Step::Netns { netns: netns.clone() });
        // The quick steps come first, because the image may have to be built.
        let netns = netns.chain(self.options.uplink.then_some(Step::Uplink));
        netns.chain(preflights).chain([Step::Guest]).chain(nets).chain(nodes).collect()
    }
}

/// Continues the text "cannot".
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Netns { netns: Netns::Private } => f.write_str("create a private network namespace"),
            Self::Netns { netns: Netns::Here } => f.write_str("use the current network namespace"),
            Self::Netns { netns: Netns::Named(name) } => write!(f, "use network namespace `{name}`"),
            Self::Uplink => f.write_str("start the uplink of the network namespace"),
            Self::Guest => f.write_str("prepare QEMU and the guest"),
            Self::Preflight { backend } => write!(f, "use backend `{backend}`"),
            Self::CreateNet { net, backend } => write!(f, "set up net {net} with backend `{backend}`"),
            Self::Setup { node, net, backend } => write!(f, "connect {node} to net {net} with backend `{backend}`"),
            Self::Boot { node } => write!(f, "start {node}"),
        }
    }
}
