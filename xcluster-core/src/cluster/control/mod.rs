//! The control socket of a cluster: its thread serves it, and the other processes of its user use the cluster over it.
//!
//! * `server`: accepts connections, on the cluster's thread; `conversation` serves one request.
//! * `client`: the other side.
//! * `message`, `frame`, `descriptors`: the protocol: a request and an answer, each a piece of JSON, then bytes of a command or
//!   console, or descriptors of a connection or namespace.
//! * `execution`: a command, at both ends.

mod client;
mod conversation;
mod descriptors;
mod execution;
mod frame;
mod message;
mod server;
#[cfg(test)]
mod tests;

pub(super) use client::Client;
pub use client::{namespace_of, survey};
pub(super) use message::Verb;
pub(super) use server::Server;
