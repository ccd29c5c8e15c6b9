//! A running cluster, for those who start its nodes themselves: everything else is done as for a start.

use tokio::sync::oneshot;

use super::builder::Builder;
use super::error::Error;
use super::handle::Cluster;
use super::into_node::{IntoNodeBoot, IntoNodeId};
use super::node::Node;
use super::single;
use super::wire::{self, WiredByName};
use crate::name::NetId;
use crate::net::PortConfig;

impl Cluster {
    /// Does everything of a start but the nodes: the network namespace, what backends lock, QEMU and the guest, the nets. The
    /// nodes of the plan wait until they are [booted](Self::boot), in whichever order.
    ///
    /// # Errors
    /// The cluster is not as it can be, or something failed; then nothing is left of it.
    pub async fn open(builder: Builder) -> Result<Self, Error> {
        let cluster = Self::begin_open(&builder)?;
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Opens a cluster without waiting, as [`begin`](Self::begin) starts one.
    ///
    /// # Errors
    /// The cluster is not as it can be, or its name is in use.
    pub fn begin_open(builder: &Builder) -> Result<Self, Error> {
        Self::begin_with(builder, false)
    }

    /// Boots a node that does not run, as planned or with what a [`NodeBoot`](crate::plan::NodeBoot) says, and waits until it is ready. The order is
    /// the caller's, and several nodes may be booted at once. Waits for a start that is under way. A boot that
    /// the caller does not wait for to its end is called off.
    ///
    /// The node need not be planned, nor the nets exist; what is new comes into the [`plan`](Self::plan) and stays there. A
    /// node's names of the others (`/etc/hosts`) and its routes are those of the plan when it is booted: nodes that run
    /// already keep theirs.
    ///
    /// # Errors
    /// The node runs, or cannot be as asked, or it failed: then what was begun for it is undone, and the cluster goes on. Nets
    /// that were made for it stay once they are there.
    pub async fn boot(&self, what: impl IntoNodeBoot) -> Result<Node, Error> {
        let what = what.into_node_boot().map_err(|asked| self.no_such_node(asked))?;
        self.ready().await?;
        let id = what.node;
        let (waits, nobody_waits) = oneshot::channel();
        self.shared.call(async move |state| single::boot(state, what, nobody_waits).await).await?;
        drop(waits);
        Ok(Node::new(self.shared.clone(), id))
    }

    /// Wires a NIC of a node that does not run, for a QEMU that the caller starts in this process: its args, with the
    /// descriptors that they refer to and the place where it must run. What the plan does not have is added: the node, as its
    /// role has it, the net, and the NIC after the node's others. A repeated call answers the same.
    ///
    /// The node's [boot](Self::boot), its stop, and the end of the cluster undo the wiring, as [`unwire`](Self::unwire) does:
    /// the QEMU is to be gone by then.
    ///
    /// # Errors
    /// The node runs, or cannot be as asked, or its backend failed; then nothing is wired.
    pub async fn wire(&self, node: impl IntoNodeId, net: NetId) -> Result<PortConfig, Error> {
        let id = node.into_node_id().map_err(|asked| self.no_such_node(asked))?;
        self.ready().await?;
        self.shared.call(async move |state| wire::wire(state, id, net).await).await
    }

    /// The same for a QEMU that any process starts, in the cluster's network namespace if it has one: a tap that is a
    /// descriptor gets to be one by name, and [`wire`](Self::wire) is of no use for it any more.
    ///
    /// # Errors
    /// As with [`wire`](Self::wire), or the args refer to descriptors that are no taps.
    pub async fn wire_by_name(&self, node: impl IntoNodeId, net: NetId) -> Result<WiredByName, Error> {
        let id = node.into_node_id().map_err(|asked| self.no_such_node(asked))?;
        self.ready().await?;
        self.shared.call(async move |state| wire::wire_by_name(state, id, net).await).await
    }

    /// Undoes the setup of a port, if there is one.
    ///
    /// # Errors
    /// The node runs, or something could not be removed.
    pub async fn unwire(&self, node: impl IntoNodeId, net: NetId) -> Result<(), Error> {
        let id = node.into_node_id().map_err(|asked| self.no_such_node(asked))?;
        self.ready().await?;
        self.shared.call(async move |state| wire::unwire(state, id, net).await).await
    }
}
