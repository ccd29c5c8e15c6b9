//! Code that the bench programs share. The figures, and how to measure them again, are in `docs/performance.md`.
//!
//! * `rounds`: measures alternately, so that other work on the machine slows all methods down alike.
//! * [`Report`]: medians and ratios as a table, or all samples as JSON.
//! * `bare`: the same guest in a QEMU that is started by hand, to compare the library with.
//! * `process`: the CPU time and memory of a process.
//! * `ip`: bridges and taps that are made by hand.
//! * `root_taps`: a backend that makes them by hand, as root.
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
