//! The process that owns a cluster, and its protocol with `start`.
//!
//! * [`run_owner()`]: runs a cluster from its start to its end, and reports the start to a start observer.
//! * `detached`: the owner that `start` leaves behind, in its own session.
//! * `launch`: starts this owner and waits until its cluster is ready.
//! * `message`: the messages between `start` and the owner.

mod detached;
mod launch;
mod message;
mod run_owner;

pub(crate) use detached::{forget_inherited, own};
pub(crate) use launch::launch;
pub(crate) use run_owner::{StartObserver, run_owner};
