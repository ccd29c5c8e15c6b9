//! The same clusters for callers without a runtime: every call waits. It adds nothing of its own.
//!
//! ```no_run
//! # fn demo(backend: impl xcluster_core::net::NetBackend + 'static) -> Result<(), Box<dyn std::error::Error>> {
//! let builder = xcluster_core::Cluster::builder().backend(backend).nodes(2);
//! let cluster = xcluster_core::blocking::Cluster::start(builder)?;
//! cluster.node(1)?.exec("ping -c1 192.168.1.2")?.ok()?;
//! cluster.stop()?;
//! # Ok(())
//! # }
//! ```

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use futures::executor::block_on;

use crate::cluster::{
    self, Builder, ClusterStatus, Console, Error, Event, IntoNodeBoot, IntoNodeId, NamedPort, NodeStatus,
};
use crate::guest::Copied;
use crate::guest::exec::{Command, Execution, Output};
use crate::host::namespace::NamespaceEntry;
use crate::name::{ClusterName, NetId, NodeId};
use crate::net::PortConfig;
use crate::plan::Plan;

/// A running cluster; see [`cluster::Cluster`].
#[derive(Debug)]
pub struct Cluster(cluster::Cluster);

impl Cluster {
    /// Starts a cluster and waits until every node is ready.
    ///
    /// # Errors
    /// As [`cluster::Cluster::start`].
    pub fn start(builder: Builder) -> Result<Self, Error> {
        block_on(cluster::Cluster::start(builder)).map(Self)
    }

    /// Starts a cluster without waiting: [`ready`](Self::ready) does that, and [`events`](Self::events) tells meanwhile.
    ///
    /// # Errors
    /// As [`cluster::Cluster::begin`].
    pub fn begin(builder: &Builder) -> Result<Self, Error> {
        cluster::Cluster::begin(builder).map(Self)
    }

    /// Waits until every node is ready.
    ///
    /// # Errors
    /// As [`cluster::Cluster::ready`].
    pub fn ready(&self) -> Result<(), Error> {
        block_on(self.0.ready())
    }

    /// Its name.
    pub fn name(&self) -> &ClusterName {
        self.0.name()
    }

    /// Does everything of a start but the nodes, which wait until they are [booted](Self::boot).
    ///
    /// # Errors
    /// As [`cluster::Cluster::open`].
    pub fn open(builder: Builder) -> Result<Self, Error> {
        block_on(cluster::Cluster::open(builder)).map(Self)
    }

    /// Opens a cluster without waiting.
    ///
    /// # Errors
    /// As [`cluster::Cluster::begin_open`].
    pub fn begin_open(builder: &Builder) -> Result<Self, Error> {
        cluster::Cluster::begin_open(builder).map(Self)
    }

    /// Boots a node that does not run, and waits until it is ready.
    ///
    /// # Errors
    /// As [`cluster::Cluster::boot`].
    pub fn boot(&self, what: impl IntoNodeBoot) -> Result<Node, Error> {
        block_on(self.0.boot(what)).map(Node)
    }

    /// Wires a NIC of a node for a QEMU that the caller starts in this process.
    ///
    /// # Errors
    /// As [`cluster::Cluster::set_up_port`].
    pub fn set_up_port(&self, node: impl IntoNodeId, net: NetId) -> Result<PortConfig, Error> {
        block_on(self.0.set_up_port(node, net))
    }

    /// The same for a QEMU that any process starts.
    ///
    /// # Errors
    /// As [`cluster::Cluster::set_up_named_port`].
    pub fn set_up_named_port(&self, node: impl IntoNodeId, net: NetId) -> Result<NamedPort, Error> {
        block_on(self.0.set_up_named_port(node, net))
    }

    /// Undoes the setup of a port, if there is one.
    ///
    /// # Errors
    /// As [`cluster::Cluster::tear_down_port`].
    pub fn tear_down_port(&self, node: impl IntoNodeId, net: NetId) -> Result<(), Error> {
        block_on(self.0.tear_down_port(node, net))
    }

    /// The plan as it is now.
    pub fn plan(&self) -> Arc<Plan> {
        self.0.plan()
    }

    /// The folder with its logs; it goes when the cluster goes.
    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// What happens to the cluster, from the beginning; waits for what comes next, until the cluster has ended.
    pub fn events(&self) -> impl Iterator<Item = Event> + use<> {
        let mut events = self.0.events();
        std::iter::from_fn(move || block_on(events.next()))
    }

    /// A node, by number or name.
    ///
    /// # Errors
    /// The cluster has no such node.
    pub fn node(&self, node: impl IntoNodeId) -> Result<Node, Error> {
        self.0.node(node).map(Node)
    }

    /// All nodes, in the order in which they are started.
    pub fn nodes(&self) -> Vec<Node> {
        self.0.nodes().into_iter().map(Node).collect()
    }

    /// How the cluster is.
    ///
    /// # Errors
    /// It has ended.
    pub fn status(&self) -> Result<ClusterStatus, Error> {
        block_on(self.0.status())
    }

    /// The way for a program of this host into the cluster's network namespace.
    ///
    /// # Errors
    /// As [`cluster::Cluster::inside`].
    pub fn inside(&self) -> Result<Option<NamespaceEntry>, Error> {
        block_on(self.0.inside())
    }

    /// Runs a command on several nodes at the same time, and gives every result, in the order of the nodes.
    pub fn exec_on(&self, nodes: &[NodeId], command: impl Into<Command>) -> Vec<(NodeId, Result<Output, Error>)> {
        block_on(self.0.exec_on(nodes, command))
    }

    /// Stops every node and waits until nothing is left.
    ///
    /// # Errors
    /// Something could not be removed; the error says what.
    pub fn stop(self) -> Result<(), Error> {
        block_on(self.0.stop())
    }
}

/// A node of a running cluster; see [`cluster::Node`].
#[derive(Debug, Clone)]
pub struct Node(cluster::Node);

impl Node {
    /// Its number.
    pub fn id(&self) -> NodeId {
        self.0.id()
    }

    /// Its host name.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// Runs a command and collects what it says. A text is a line for the guest's shell.
    ///
    /// # Errors
    /// As [`cluster::Node::exec`].
    pub fn exec(&self, command: impl Into<Command>) -> Result<Output, Error> {
        block_on(self.0.exec(command))
    }

    /// Starts a command, whose output can be followed. The execution itself is waited for as any future is.
    ///
    /// # Errors
    /// As [`cluster::Node::spawn`].
    pub fn spawn(&self, command: impl Into<Command>) -> Result<Execution, Error> {
        block_on(self.0.spawn(command))
    }

    /// Copies a file of this host to the node.
    ///
    /// # Errors
    /// As [`cluster::Node::put`].
    pub fn put(&self, local: impl AsRef<Path>, remote: impl AsRef<Path>) -> Result<Copied, Error> {
        block_on(self.0.put(local, remote))
    }

    /// Copies a file of the node to this host.
    ///
    /// # Errors
    /// As [`cluster::Node::get`].
    pub fn get(&self, remote: impl AsRef<Path>, local: impl AsRef<Path>) -> Result<Copied, Error> {
        block_on(self.0.get(remote, local))
    }

    /// Joins the node's serial console.
    ///
    /// # Errors
    /// The node has not been started.
    pub fn console(&self) -> Result<Console, Error> {
        block_on(self.0.console())
    }

    /// What the console has shown, at most its last 256 KiB.
    ///
    /// # Errors
    /// The node has not been started.
    pub fn console_text(&self) -> Result<String, Error> {
        block_on(self.0.console_text())
    }

    /// Where this host finds a TCP port of the node, if a backend gives it access.
    ///
    /// # Errors
    /// The cluster has ended.
    pub fn address(&self, port: u16) -> Result<Option<SocketAddr>, Error> {
        block_on(self.0.address(port))
    }

    /// Connects to a TCP port of the node.
    ///
    /// # Errors
    /// As [`cluster::Node::connect`].
    pub fn connect(&self, port: u16) -> Result<std::net::TcpStream, Error> {
        block_on(self.0.connect(port))
    }

    /// Gives the node's QEMU a command over its monitor (QMP).
    ///
    /// # Errors
    /// As [`cluster::Node::qmp`].
    pub fn qmp(&self, command: &str, arguments: serde_json::Value) -> Result<serde_json::Value, Error> {
        block_on(self.0.qmp(command, arguments))
    }

    /// Ends this node alone.
    ///
    /// # Errors
    /// As [`cluster::Node::stop`].
    pub fn stop(&self) -> Result<(), Error> {
        block_on(self.0.stop())
    }

    /// How the node is.
    ///
    /// # Errors
    /// The cluster has ended.
    pub fn status(&self) -> Result<NodeStatus, Error> {
        block_on(self.0.status())
    }
}
