//! Clusters of other processes: the owner serves its cluster on a socket in the cluster's folder, and whoever has the
//! same user id uses it from there. It is how a command line talks to a cluster that it left running.
//!
//! * [`serve`]: the owner's side.
//! * [`Remote`]: the other side, with the same verbs as [`Cluster`](crate::Cluster).
//! * `message`, `frame`: the language between them: a request and an answer, each a piece of JSON, and for a command or a
//!   console the bytes that follow.

mod client;
mod execution;
mod frame;
mod message;
mod server;

pub use client::{Remote, RemoteConsole, running};
pub use server::serve;
