//! What the bench programs share. Measures nothing by itself; the figures and how to get them again are in
//! `docs/performance.md`.
//!
//! * `rounds`: two things measured in turn, so that a busy machine is as unkind to both.
//! * [`Report`]: medians and ratios as a table, or everything as JSON.
//! * `bare`: the same guest in a QEMU started by hand, which is what the library is compared with.
//! * `process`: what a process takes: CPU time and memory.
//! * `cluster`: the clusters that are measured.

pub mod bare;
pub mod cluster;
pub mod process;
mod report;
mod rounds;

pub use report::{Report, percentile};
pub use rounds::{in_turn, rounds_asked};
