//! What is expected of clusters on Open vSwitch, checked with real VMs and real traffic.
//!
//! A scenario is a cluster and a list of expectations about it: booting is what costs time, so a cluster serves many expectations.
//! Needed are QEMU, the standard guest, which is built on first use, Open vSwitch, and a host that gives network namespaces to
//! its users.

mod harness;

// Scenarios.
mod default_cluster;
mod features;
mod scenarios;
