//! The steps of a start, as data. Who does them is not said here.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Plan;
use crate::host::Netns;
use crate::name::{NetId, NodeId};

/// One thing that a start does. A plan lists them; a start reports them as they begin and end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Step {
    /// Make or open the network namespace.
    Netns {
        /// Which one.
        netns: Netns,
    },
    /// Give the network namespace a way to the world.
    Uplink,
    /// Find or build the guest, and find out how processors are virtualised here.
    Guest,
    /// Ask a backend whether this host can carry its nets, and lock the numbers that are shared.
    Preflight {
        /// The backend.
        backend: String,
    },
    /// Make what the ports of a net share.
    CreateNet {
        /// The net.
        net: NetId,
        /// Who makes it.
        backend: String,
    },
    /// Wire a NIC.
    Setup {
        /// Whose.
        node: NodeId,
        /// To which net.
        net: NetId,
        /// Who wires it.
        backend: String,
    },
    /// Start QEMU and wait until the node is ready.
    Boot {
        /// Which node.
        node: NodeId,
    },
}

impl Plan {
    /// The steps of the start. Those of different nodes are done side by side.
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
        // What is quick to find out comes first: a guest may have to be built.
        let netns = netns.chain(self.options.uplink.then_some(Step::Uplink));
        netns.chain(preflights).chain([Step::Guest]).chain(nets).chain(nodes).collect()
    }
}

/// Reads after "cannot".
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Netns { netns: Netns::Private } => f.write_str("make a private network namespace"),
            Self::Netns { netns: Netns::Here } => f.write_str("use the network namespace we are in"),
            Self::Netns { netns: Netns::Named(name) } => write!(f, "use network namespace `{name}`"),
            Self::Uplink => f.write_str("give the network namespace a way to the world"),
            Self::Guest => f.write_str("prepare QEMU and the guest"),
            Self::Preflight { backend } => write!(f, "use backend `{backend}`"),
            Self::CreateNet { net, backend } => write!(f, "set up net {net} with backend `{backend}`"),
            Self::Setup { node, net, backend } => write!(f, "wire {node} to net {net} with backend `{backend}`"),
            Self::Boot { node } => write!(f, "start {node}"),
        }
    }
}
