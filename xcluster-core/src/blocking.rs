//! The same clusters for callers without a runtime: every call waits. It adds nothing of its own, and handles convert both ways
//! with `From`.
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

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;

use crate::cluster::{
    self, Builder, ClusterStatus, Console, Error, Event, IntoNodeBoot, IntoNodeId, LocalForward, NamedPort, NodeStatus,
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

/// A node of a running cluster; see [`cluster::Node`].
#[derive(Debug, Clone)]
pub struct Node(cluster::Node);

/// The blocking form of methods, which return the same result; handles in it are those of this module.
macro_rules! blocking {
    ($handle:ident { $($rest:tt)* }) => {
        impl From<cluster::$handle> for $handle {
            fn from(handle: cluster::$handle) -> Self {
                Self(handle)
            }
        }

        impl From<$handle> for cluster::$handle {
            fn from(handle: $handle) -> Self {
                handle.0
            }
        }

        blocking!(@ $handle $($rest)*);
    };
    (@ $handle:ident) => {};
    (@ $handle:ident fn $name:ident(&self $(, $arg:ident: $type:ty)*) -> $value:ty; $($rest:tt)*) => {
        impl $handle {
            #[doc = concat!("[`cluster::", stringify!($handle), "::", stringify!($name), "`], which has the description.")]
            ///
            /// # Errors
            /// The same.
            pub fn $name(&self $(, $arg: $type)*) -> Result<$value, Error> {
                block_on(self.0.$name($($arg),*)).map(Into::into)
            }
        }
        blocking!(@ $handle $($rest)*);
    };
    (@ $handle:ident fn $name:ident(self) -> $value:ty; $($rest:tt)*) => {
        impl $handle {
            #[doc = concat!("[`cluster::", stringify!($handle), "::", stringify!($name), "`], which has the description.")]
            ///
            /// # Errors
            /// The same.
            pub fn $name(self) -> Result<$value, Error> {
                block_on(self.0.$name()).map(Into::into)
            }
        }
        blocking!(@ $handle $($rest)*);
    };
    (@ $handle:ident fn $name:ident($($arg:ident: $type:ty),*) -> $value:ty; $($rest:tt)*) => {
        impl $handle {
            #[doc = concat!("[`cluster::", stringify!($handle), "::", stringify!($name), "`], which has the description.")]
            ///
            /// # Errors
            /// The same.
            pub fn $name($($arg: $type),*) -> Result<$value, Error> {
                block_on(cluster::$handle::$name($($arg),*)).map(Into::into)
            }
        }
        blocking!(@ $handle $($rest)*);
    };
}

blocking! { Cluster {
    fn start(builder: Builder) -> Self;
    fn open(builder: Builder) -> Self;
    fn attach(name: impl AsRef<str>) -> Self;
    fn attach_under(base: impl AsRef<Path>, name: impl AsRef<str>) -> Self;
    fn ready(&self) -> ();
    fn wait(&self) -> ();
    fn status(&self) -> ClusterStatus;
    fn inside(&self) -> Option<NamespaceEntry>;
    fn boot(&self, what: impl IntoNodeBoot) -> Node;
    fn set_up_port(&self, node: impl IntoNodeId, net: NetId) -> PortConfig;
    fn set_up_named_port(&self, node: impl IntoNodeId, net: NetId) -> NamedPort;
    fn tear_down_port(&self, node: impl IntoNodeId, net: NetId) -> ();
    fn stop(self) -> ();
}}

blocking! { Node {
    fn exec(&self, command: impl Into<Command>) -> Output;
    fn run(&self, command: impl Into<Command>) -> String;
    fn until(&self, command: impl Into<Command>, deadline: Duration) -> Output;
    fn spawn(&self, command: impl Into<Command>) -> Execution;
    fn copy_to(&self, local: impl AsRef<Path>, remote: impl AsRef<Path>) -> Copied;
    fn copy_from(&self, remote: impl AsRef<Path>, local: impl AsRef<Path>) -> Copied;
    fn console(&self) -> Console;
    fn console_text(&self) -> String;
    fn qemu_messages(&self) -> String;
    fn address(&self, port: u16) -> Option<SocketAddr>;
    fn connect(&self, port: u16) -> TcpStream;
    fn forward(&self, listen: SocketAddr, port: u16) -> LocalForward;
    fn qmp(&self, command: &str, arguments: serde_json::Value) -> serde_json::Value;
    fn kill(&self) -> ();
    fn stop(&self) -> ();
    fn status(&self) -> NodeStatus;
}}

impl Cluster {
    /// Starts a cluster without waiting: [`ready`](Self::ready) does that, and [`events`](Self::events) reports meanwhile.
    ///
    /// # Errors
    /// As [`cluster::Cluster::begin`].
    pub fn begin(builder: &Builder) -> Result<Self, Error> {
        cluster::Cluster::begin(builder).map(Self)
    }

    /// Opens a cluster without waiting.
    ///
    /// # Errors
    /// As [`cluster::Cluster::begin_open`].
    pub fn begin_open(builder: &Builder) -> Result<Self, Error> {
        cluster::Cluster::begin_open(builder).map(Self)
    }

    /// Its name.
    pub fn name(&self) -> &ClusterName {
        self.0.name()
    }

    /// The plan as it is now.
    pub fn plan(&self) -> Arc<Plan> {
        self.0.plan()
    }

    /// The runtime folder with its logs. It is removed when the cluster ends.
    pub fn folder(&self) -> &Path {
        self.0.folder()
    }

    /// The events of the cluster, from the beginning; waits for the next one, until the cluster has ended.
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

    /// Runs a command on several nodes at the same time, as [`cluster::Cluster::exec_on`].
    pub fn exec_on(
        &self,
        nodes: impl IntoIterator<Item: IntoNodeId>,
        command: impl Into<Command>,
    ) -> Vec<Result<Output, Error>> {
        block_on(self.0.exec_on(nodes, command))
    }
}

impl Node {
    /// Its number.
    pub fn id(&self) -> NodeId {
        self.0.id()
    }

    /// Its host name.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// Its IPv4 address on a net, if it has a NIC there.
    pub fn ipv4(&self, net: impl Into<NetId>) -> Option<Ipv4Addr> {
        self.0.ipv4(net)
    }

    /// Its IPv6 address on a net, if it has a NIC there.
    pub fn ipv6(&self, net: impl Into<NetId>) -> Option<Ipv6Addr> {
        self.0.ipv6(net)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_asynchronous_method_of_a_handle_has_a_blocking_form() {
        let ours = include_str!("blocking.rs");
        for source in [include_str!("cluster/cluster.rs"), include_str!("cluster/node.rs")] {
            for line in source.lines().filter_map(|line| line.trim().strip_prefix("pub async fn ")) {
                let name = line.split(['(', '<']).next().unwrap_or_default();
                if name == "connect_tokio" {
                    // It needs a runtime.
                    continue;
                }
                assert!(ours.contains(&format!("fn {name}(")), "{name} has no blocking form");
            }
        }
    }
}
