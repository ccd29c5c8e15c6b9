//! What is expected of clusters on bridges, checked with real VMs and real traffic.
//!
//! A scenario is a cluster and a list of expectations about it: booting is what costs time, so a cluster serves many expectations.
//! Needed are QEMU, the standard guest, which is built on first use, and a host that gives network namespaces to its users.

mod harness;

// Scenarios.
mod default_cluster;
mod scenarios;

// Expectations that are checked on the default cluster.
mod end;
mod frames;
mod host;
mod nets;
