//! What the bench programs share. Measures nothing by itself; the figures and how to get them again are in
//! `docs/performance.md`.
//!
//! * `rounds`: things measured in turn, so that a busy machine is as unkind to both.
//! * [`Report`]: medians and ratios as a table, or everything as JSON.
//! * `bare`: the same guest in a QEMU started by hand, which is what the library is compared with.
//! * `process`: what a process takes: CPU time and memory.
//! * `ip`: bridges and taps as one makes them by hand.
//! * `root_taps`: a backend that has them made by hand, as root.
//! * `cluster`: the clusters that are measured.

pub mod bare;
pub mod cluster;
pub mod ip;
pub mod process;
mod report;
pub mod root_taps;
mod rounds;

pub use report::{Report, percentile};
pub use rounds::{in_rotation, in_turn, rounds_asked};
