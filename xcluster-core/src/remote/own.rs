//! The asker's side of starts of one's own: single nodes booted, stopped and wired in a cluster of another process.

use super::client::Remote;
use super::message::Verb;
use crate::cluster::{Error, IntoNodeBoot, NamedPort, NodeStatus};
use crate::name::{NetId, NodeId};

impl Remote {
    /// Boots a node and waits until it is ready, as [`Cluster::boot`](crate::Cluster::boot) does. A boot that is not waited
    /// for any more is called off.
    ///
    /// # Errors
    /// The node runs, or cannot be as asked, or it failed: then what was begun for it is undone.
    pub async fn boot(&self, what: impl IntoNodeBoot) -> Result<NodeStatus, Error> {
        let boot = match what.into_node_boot() {
            Ok(boot) => boot,
            Err(asked) => {
                return Err(Error::NoSuchNode { asked, there: self.plan().await?.node_numbers() });
            }
        };
        self.ask(Verb::Boot { boot }).await.map(|(_, status)| status)
    }

    /// Ends a node alone, as [`Node::stop`](crate::Node::stop) does.
    ///
    /// # Errors
    /// Something could not be removed, or the owner cannot be reached.
    pub async fn stop_node(&self, node: NodeId) -> Result<(), Error> {
        self.ask(Verb::StopNode { node }).await.map(|(_, ())| ())
    }

    /// Wires a NIC of a node for a QEMU that somebody starts, as [`Cluster::set_up_named_port`](crate::Cluster::set_up_named_port) does.
    ///
    /// # Errors
    /// The node runs, or cannot be as asked, or its backend failed; then nothing is wired.
    pub async fn set_up_named_port(&self, node: NodeId, net: NetId) -> Result<NamedPort, Error> {
        self.ask(Verb::Wire { node, net }).await.map(|(_, port_config)| port_config)
    }

    /// Undoes the setup of a port, if there is one.
    ///
    /// # Errors
    /// The node runs, or something could not be removed.
    pub async fn tear_down_port(&self, node: NodeId, net: NetId) -> Result<(), Error> {
        self.ask(Verb::Unwire { node, net }).await.map(|(_, ())| ())
    }
}
