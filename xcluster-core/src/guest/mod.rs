//! Talking to a node that runs: commands and files, through the agent in the guest. This module knows no image, no QEMU
//! process and no cluster.
//!
//! A building block: its interface may change between minor versions. [`exec`] is what users of a node see.
//!
//! | File | Content |
//! |---|---|
//! | [`exec`] | a command, its execution and its output |
//! | `agent` | the host's side of our own agent, and its program |
//! | `protocol` | the protocol between the two |
//! | `qga` | the host's side of qemu-ga, for a user's own image |
//! | `any_agent` | either of them, and copying files between the host and a guest |

pub(crate) mod agent;
mod any_agent;
pub mod exec;
#[path = "../../agent/protocol/mod.rs"]
pub(crate) mod protocol;
mod qga;

pub use agent::Copied;
pub(crate) use any_agent::AnyAgent;
pub(crate) use protocol::PORT as AGENT_PORT;

/// The virtio port that qemu-ga opens.
pub(crate) const QGA_PORT: &str = "org.qemu.guest_agent.0";
