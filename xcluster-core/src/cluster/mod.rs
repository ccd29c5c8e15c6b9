//! A running cluster: start it, use it, stop it.
//!
//! * [`Builder`]: what to start.
//! * [`Cluster`] and [`Node`]: handles that send requests to a cluster. `node_ref` has what names a node.
//! * [`ClusterStatus`], [`Event`], [`Error`]: plain data about a cluster.
//! * [`Console`]: a node's serial console. [`LocalForward`]: a port of this host that leads to a node.
//! * `background`: a thread for what handles do outside of a cluster's thread.
//! * `link`: what a handle sends its requests to: the cluster's thread, or an owner in another process.
//! * `control`: the control socket, by which other processes use a cluster.
//! * `runtime`: what runs on the cluster's thread. It alone decides the order of effects.

mod background;
mod builder;
#[expect(clippy::module_inception, reason = "the file is named after the type that it has")]
mod cluster;
mod console;
mod control;
mod error;
mod event;
mod forward;
mod link;
mod node;
mod node_ref;
mod runtime;
mod status;
#[cfg(test)]
mod tests;

pub use builder::Builder;
pub use cluster::Cluster;
pub use console::{Console, ConsoleInput};
pub use control::{namespace_of, survey};
pub use error::{Cause, Error, ErrorKind, FailureContext, NodeFailure, RemoteError, StartFailure};
pub use event::{Event, Events};
pub use forward::LocalForward;
pub use node::Node;
pub use node_ref::{IntoNodeBoot, IntoNodeId};
pub use status::{ClusterState, ClusterStatus, NamedPort, NetStatus, NicStatus, NodeState, NodeStatus};
