#![doc = include_str!("../README.md")]

pub mod addr;
pub mod blocking;
pub mod cluster;
#[doc(hidden)]
pub mod error_chain;
#[cfg(any(feature = "plugin", feature = "script"))]
pub mod external;
pub mod guest;
pub mod host;
pub mod image;
pub mod name;
pub mod net;
#[cfg(feature = "netlink")]
pub mod netlink;
pub mod plan;
pub mod qemu;
pub mod test_run;
#[cfg(feature = "testing")]
pub mod testing;
pub mod topology;

pub use cluster::{
    Builder, Cluster, ClusterState, ClusterStatus, Console, Error, ErrorKind, Event, Events, LocalForward, Node,
    NodeState, NodeStatus,
};
pub use guest::exec::{Command, ExecError, Execution, Output, Status};
