//! The process that a cluster lives in, and how `start` talks to it.
//!
//! * [`run_owner()`]: a cluster from its start to its end, with somebody who waits for it.
//! * `detached`: the owner that `start` leaves behind; a process and session of its own.
//! * `launch`: how `start` makes one and waits until it is ready.
//! * `message`: what goes from the one to the other.

mod detached;
mod launch;
mod message;
mod run_owner;

pub(crate) use detached::{forget_inherited, own};
pub(crate) use launch::launch;
pub(crate) use run_owner::{StartObserver, run_owner};
