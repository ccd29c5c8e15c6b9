//! For tests of backends and of clusters (feature `testing`): what proves that a promise is kept. Not covered by semantic
//! versioning.
//!
//! * [`conformance`]: start here with a backend of your own: the contract of
//!   [`NetBackend`](crate::net::NetBackend), number by number, as trials.
//! * [`harness`]: a `main` for tests, each in a network namespace of its own, without privilege.
//! * [`traffic`]: guests without VMs, that talk TCP and UDP through a backend's netdev in a real QEMU.
//! * [`scenarios`]: then this one: what clusters of real VMs show, the same on every backend.
//! * [`lab`]: clusters of real VMs, and claims about them.
//! * [`leftovers`]: what a host has before and after, and the difference in words.
//! * [`FakeQemu`]: a program in QEMU's place, for tests of what a cluster does when one behaves badly.
//! * [`Stage`]: what a backend is lent, for those who call one without a cluster.

pub mod conformance;
mod failed;
pub mod fake_qemu;
pub mod harness;
mod host;
pub mod lab;
pub mod leftovers;
mod netns;
mod qemu;
pub mod scenarios;
mod stage;
pub mod traffic;

pub use failed::{Failed, ensure};
pub use fake_qemu::{Behaviour, FakeQemu};
pub use stage::Stage;
