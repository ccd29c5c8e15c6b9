//! The code of a cluster's thread: the order of effects of starts, boots and teardowns. It imports only plain data from the
//! modules above it: errors, events, the status and the console's channel ends.
//!
//! * `thread`: each cluster has its own thread, and all of this runs there.
//! * `state`, `node_state`: what the thread knows of the cluster and of each node.
//! * `networks`, `undo_log`: calls of backends, and what they have to undo.
//! * `step`: one step of a start, with its events and its error.
//! * `start`, `add_node`, `boot_node`, `port_setup`, `teardown`: the order of effects.
//! * `boot_slots`, `readiness`, `connect`: what a boot waits for, and how the host reaches a node.
//! * `prepare`, `initramfs`: what all nodes share before the first one starts.
//! * `qemu_instance`, `console`: one node's QEMU and its serial port.
//! * `requests`: what handles and other processes ask for.

mod add_node;
mod boot_node;
mod boot_slots;
mod connect;
mod console;
mod initramfs;
mod networks;
mod node_state;
mod port_setup;
mod prepare;
mod qemu_instance;
mod readiness;
pub(crate) mod requests;
mod start;
mod state;
mod step;
mod teardown;
mod thread;
mod undo_log;

pub(crate) use start::start;
pub(crate) use state::{Phase, Progress, State};
pub(crate) use thread::{ClusterThread, Service};
