//! The handle of a running cluster. It holds no state of the cluster: it sends requests and waits.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::oneshot;

use super::builder::Builder;
use super::control::{Client, Verb};
use super::error::Error;
use super::event::Events;
use super::link::{Link, Owned};
use super::node::Node;
use super::node_ref::{IntoNodeBoot, IntoNodeId};
use super::runtime::requests;
use super::status::{ClusterStatus, NamedPort};
use crate::guest::exec::{Command, Output};
use crate::host::folder;
use crate::host::namespace::NamespaceEntry;
use crate::name::{ClusterName, NetId, NodeId};
use crate::net::PortConfig;
use crate::plan::Plan;

/// A running cluster, of this process or of another one.
///
/// A cluster that was [started](Self::start) or [opened](Self::open) is this process's own. It lives as long as this value and
/// the process, whichever ends first: dropping it, a panic, a signal, `kill -9` of the process all end every node, and nothing
/// is left. A cluster that was [attached](Self::attach) to belongs to its owner: dropping this value leaves it alone.
///
/// The handles need no particular runtime, or none, and may be shared between threads.
#[derive(Debug)]
pub struct Cluster {
    link: Arc<Link>,
}

impl Cluster {
    /// What to start: see [`Builder`].
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Starts a cluster and waits until every node is ready.
    ///
    /// # Errors
    /// The configuration is not valid, or a step failed; then nothing is left of the cluster.
    pub async fn start(builder: Builder) -> Result<Self, Error> {
        let cluster = Self::begin(&builder)?;
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Starts a cluster without waiting: [`ready`](Self::ready) does that, and [`events`](Self::events) reports meanwhile.
    ///
    /// # Errors
    /// The configuration is not valid, or the name is in use.
    pub fn begin(builder: &Builder) -> Result<Self, Error> {
        Ok(Self { link: Arc::new(Link::Owned(Owned::begin(builder, true)?)) })
    }

    /// Does everything of a start except the nodes: the network namespace, the backends' host locks, QEMU and the guest, the
    /// nets. The nodes of the plan wait until they are [booted](Self::boot), in any order.
    ///
    /// # Errors
    /// The configuration is not valid, or a step failed; then nothing is left of the cluster.
    pub async fn open(builder: Builder) -> Result<Self, Error> {
        let cluster = Self::begin_open(&builder)?;
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Opens a cluster without waiting, as [`begin`](Self::begin) starts one.
    ///
    /// # Errors
    /// The configuration is not valid, or the name is in use.
    pub fn begin_open(builder: &Builder) -> Result<Self, Error> {
        Ok(Self { link: Arc::new(Link::Owned(Owned::begin(builder, false)?)) })
    }

    /// Attaches to a running cluster of this user by its name, whichever process owns it. Also one that is still starting.
    ///
    /// The owner answers quick requests within 30 seconds, or they fail. Commands, copies, boots and the end of a cluster take
    /// the time that they need.
    ///
    /// # Errors
    /// No cluster of that name runs, or its owner does not answer.
    pub async fn attach(name: impl AsRef<str>) -> Result<Self, Error> {
        Self::attach_under(folder::base(), name).await
    }

    /// Attaches to a cluster whose folder is under `base`, as [`Builder::folder`] sets it.
    ///
    /// # Errors
    /// No cluster of that name runs there, or its owner does not answer.
    pub async fn attach_under(base: impl AsRef<Path>, name: impl AsRef<str>) -> Result<Self, Error> {
        let client = Client::attach(base.as_ref(), name.as_ref()).await?;
        Ok(Self { link: Arc::new(Link::Attached(client)) })
    }

    /// Waits until every node is ready; of a cluster that is opened, until nodes can be booted.
    ///
    /// # Errors
    /// The start failed; everything was undone.
    pub async fn ready(&self) -> Result<(), Error> {
        match &*self.link {
            Link::Owned(owned) => owned.ready().await,
            Link::Attached(client) => client.ask(Verb::Ready).await,
        }
    }

    /// Waits until the cluster has ended: another process has stopped it, its owner has ended, or its folder was removed. Of a
    /// cluster of this process, the value still has to be dropped.
    ///
    /// # Errors
    /// The cluster of this process was lost, or not everything could be removed.
    pub async fn wait(&self) -> Result<(), Error> {
        match &*self.link {
            Link::Owned(owned) => owned.wait().await,
            Link::Attached(client) => {
                client.wait().await;
                Ok(())
            }
        }
    }

    /// The events of the cluster, from the beginning.
    pub fn events(&self) -> Events {
        self.link.events()
    }

    /// Its name.
    pub fn name(&self) -> &ClusterName {
        self.link.name()
    }

    /// The plan as it is now: [`boot`](Self::boot) may add to it, and change a node in it.
    pub fn plan(&self) -> Arc<Plan> {
        self.link.plan()
    }

    /// The runtime folder with its logs. It is removed when the cluster ends.
    pub fn folder(&self) -> &Path {
        self.link.folder()
    }

    /// A node, by number or name.
    ///
    /// # Errors
    /// The cluster has no such node.
    pub fn node(&self, node: impl IntoNodeId) -> Result<Node, Error> {
        let id = self.id(node)?;
        match self.plan().node(id) {
            Some(_) => Ok(Node::new(self.link.clone(), id)),
            None => Err(self.no_such_node(id.number().to_string())),
        }
    }

    /// All nodes, in the order in which they are started.
    pub fn nodes(&self) -> Vec<Node> {
        let plan = self.plan();
        plan.nodes.iter().map(|planned| Node::new(self.link.clone(), planned.node.id)).collect()
    }

    fn id(&self, node: impl IntoNodeId) -> Result<NodeId, Error> {
        node.into_node_id().map_err(|asked| self.no_such_node(asked))
    }

    fn no_such_node(&self, asked: String) -> Error {
        Error::NoSuchNode { asked, there: self.plan().node_numbers() }
    }

    /// The status of the cluster and its nodes.
    ///
    /// # Errors
    /// The cluster has ended.
    pub async fn status(&self) -> Result<ClusterStatus, Error> {
        match &*self.link {
            Link::Owned(owned) => owned.call(requests::status).await,
            Link::Attached(client) => client.ask_quick(Verb::Status).await,
        }
    }

    /// What a program of this host needs to enter the network namespace of the cluster's networks, where it has every privilege:
    /// `tcpdump` on a bridge, `nft`, `curl` to a node's address. None if the cluster has no namespace of its own because no
    /// backend needs one, or is in the one that its owner is in.
    ///
    /// # Errors
    /// The start has not made the namespace yet, or the cluster has ended.
    pub async fn inside(&self) -> Result<Option<NamespaceEntry>, Error> {
        match &*self.link {
            Link::Owned(owned) => owned.call(requests::namespace).await,
            Link::Attached(client) => client.namespace().await,
        }
    }

    /// Runs a command on several nodes at the same time. Returns every result, in the order of the nodes; an [`Output`] has its
    /// node.
    pub async fn exec_on(
        &self,
        nodes: impl IntoIterator<Item: IntoNodeId>,
        command: impl Into<Command>,
    ) -> Vec<Result<Output, Error>> {
        let command = command.into();
        let nodes: Vec<Result<Node, Error>> = nodes.into_iter().map(|node| self.node(node)).collect();
        join_all(nodes.into_iter().map(|node| async { node?.exec(command.clone()).await })).await
    }

    /// Boots a node that does not run, as planned or with the changes of a [`NodeBoot`](crate::plan::NodeBoot), and waits until
    /// it is ready. The caller chooses the order, and several nodes may be booted at once. Waits for a start that is under way.
    /// Dropping the future cancels the boot.
    ///
    /// The node need not be planned, nor the nets exist; additions come into the [`plan`](Self::plan) and stay there. A node's
    /// names of the others (`/etc/hosts`) and its routes are those of the plan when it is booted: running nodes keep theirs.
    ///
    /// # Errors
    /// The node runs, its configuration is not valid, or a step failed: then the boot is undone, and the cluster goes on. Nets
    /// that were made for the node stay.
    pub async fn boot(&self, what: impl IntoNodeBoot) -> Result<Node, Error> {
        let boot = what.into_node_boot().map_err(|asked| self.no_such_node(asked))?;
        let id = boot.node;
        match &*self.link {
            Link::Owned(owned) => {
                let (waits, caller_left) = oneshot::channel();
                owned.call(async move |state| requests::boot(state, boot, caller_left).await).await?;
                drop(waits);
            }
            Link::Attached(client) => {
                client.ask::<()>(Verb::Boot { boot }).await?;
                client.planned(|plan| plan.node(id).is_some()).await;
            }
        }
        Ok(Node::new(self.link.clone(), id))
    }

    /// Sets up a port of a node that does not run, for a QEMU that the caller starts in this process: its args, with the
    /// descriptors that they refer to and the namespace where it must run. The plan is extended by what it lacks: the node, as
    /// its role has it, the net, and the NIC after the node's others. A repeated call answers the same.
    ///
    /// The node's [boot](Self::boot), its stop, and the end of the cluster tear the port down, as
    /// [`tear_down_port`](Self::tear_down_port) does: the QEMU must have ended by then.
    ///
    /// # Errors
    /// The node runs, its configuration is not valid, or its backend failed; then nothing is set up. Another process owns the
    /// cluster: [`set_up_named_port`](Self::set_up_named_port) has no descriptors.
    pub async fn set_up_port(&self, node: impl IntoNodeId, net: NetId) -> Result<PortConfig, Error> {
        let id = self.id(node)?;
        match &*self.link {
            Link::Owned(owned) => owned.call(async move |state| requests::set_up_port(state, id, net).await).await,
            Link::Attached(_) => Err(Error::NotOwner("set up a port with descriptors")),
        }
    }

    /// The same for a QEMU that any process starts, in the cluster's network namespace if it has one. A tap that is a descriptor
    /// becomes one by name, and [`set_up_port`](Self::set_up_port) is of no use for it any more.
    ///
    /// # Errors
    /// As with [`set_up_port`](Self::set_up_port), or the args refer to descriptors that are no taps.
    pub async fn set_up_named_port(&self, node: impl IntoNodeId, net: NetId) -> Result<NamedPort, Error> {
        let id = self.id(node)?;
        match &*self.link {
            Link::Owned(owned) => {
                owned.call(async move |state| requests::set_up_named_port(state, id, net).await).await
            }
            Link::Attached(client) => {
                let port = client.ask(Verb::SetUpPort { node: id, net }).await?;
                client.planned(|plan| plan.node(id).is_some_and(|node| node.node.nets.contains(&net))).await;
                Ok(port)
            }
        }
    }

    /// Tears down a port, if it is set up.
    ///
    /// # Errors
    /// The node runs, or something could not be removed.
    pub async fn tear_down_port(&self, node: impl IntoNodeId, net: NetId) -> Result<(), Error> {
        let id = self.id(node)?;
        match &*self.link {
            Link::Owned(owned) => owned.call(async move |state| requests::tear_down_port(state, id, net).await).await,
            Link::Attached(client) => client.ask(Verb::TearDownPort { node: id, net }).await,
        }
    }

    /// Stops every node and waits until nothing is left. A cluster of another process is stopped by its owner.
    ///
    /// # Errors
    /// Something could not be removed; the error names it. Or the owner cannot be reached.
    pub async fn stop(self) -> Result<(), Error> {
        match &*self.link {
            Link::Owned(owned) => owned.stop().await,
            Link::Attached(client) => client.stop().await,
        }
    }
}

/// Quick for a cluster of this process, since killing processes is: a backend's own removals have deadlines.
impl Drop for Cluster {
    fn drop(&mut self) {
        if let Link::Owned(owned) = &*self.link {
            owned.end();
        }
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}
