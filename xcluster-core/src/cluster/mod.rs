//! A cluster that runs: started, used and stopped. The only module that decides the order of effects.
//!
//! * [`Builder`]: what to start.
//! * [`Cluster`] and [`Node`]: what runs. `own` has what those call who start nodes themselves, `into_node` what nodes are
//!   named by.
//! * [`ClusterStatus`], [`Event`]: what is known of it, as data.
//! * `state`, `node_cell`: what is known of it to its thread.
//! * `thread`: each cluster has a thread of its own, on which everything below happens.
//! * `start`, `single`, `boot`, `ready`, `undo`: the order of effects.
//! * `prepare`, `initramfs`: what all nodes share before the first one starts.
//! * `reach`: how the host gets at a TCP port of a node.
//! * `wire`: NICs for QEMUs that are not the cluster's.
//! * `machine`, `console`: one node's QEMU and its serial console.

mod boot;
mod builder;
mod console;
mod error;
mod event;
mod handle;
mod initramfs;
mod into_node;
mod machine;
mod node;
mod node_cell;
mod own;
mod prepare;
mod reach;
mod ready;
mod refusal;
mod single;
mod start;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod thread;
mod undo;
mod wire;

pub use builder::Builder;
pub use console::{Console, ConsoleInput};
pub use error::{Cause, Error, ErrorKind, NodeFailure, StartFailure};
pub use event::{Event, Events};
pub use handle::Cluster;
pub use into_node::{IntoNodeBoot, IntoNodeId};
pub use node::Node;
pub use refusal::{LastWords, Refusal};
pub use status::{ClusterState, ClusterStatus, NetStatus, NicStatus, NodeState, NodeStatus};
pub use wire::WiredByName;
