//! Clusters of other processes: the owner serves its cluster on a socket in the cluster's folder, and whoever has the
//! same user id uses it from there. It is how a command line talks to a cluster that it left running.
//!
//! * [`serve`]: the owner's side.
//! * [`Remote`]: the other side, with the same verbs as [`Cluster`](crate::Cluster).
//! * `own`: single nodes, for those who start them themselves.
//! * `conversation`: a request and what comes of it, at the owner's end.
//! * `message`, `frame`, `descriptors`: the language between them: a request and an answer, each a piece of JSON, and what
//!   follows: of a command or a console bytes, of a connection or a namespace descriptors.
//! * `execution`, `console`: a command and a console at both ends, or at the asker's.

mod client;
mod console;
mod conversation;
mod descriptors;
mod execution;
mod frame;
mod message;
mod own;
mod server;
#[cfg(test)]
mod tests;

pub use client::{Remote, survey};
pub use console::RemoteConsole;
pub use server::serve;
