//! Talking to a node that runs: commands and files, through the agent in the guest. This module knows no image, no QEMU
//! process and no cluster.
//!
//! A building block: its interface may change between minor versions. [`exec`] is what users of a node see.
//!
//! | File | Content |
//! |---|---|
//! | [`exec`] | a command, its execution and its output |
//! | [`copy`] | copying files between the host and a guest |
//! | `agent` | the host's side of our own agent, and its program |
//! | `qga` | the host's side of qemu-ga, for a user's own image |
//! | `any_agent` | either of them |

pub(crate) mod agent;
mod any_agent;
pub mod copy;
pub mod exec;
mod qga;

pub(crate) use agent::protocol::PORT as AGENT_PORT;
pub(crate) use any_agent::AnyAgent;
pub use copy::Copied;

/// The virtio port that qemu-ga opens.
pub(crate) const QGA_PORT: &str = "org.qemu.guest_agent.0";
