//! Expectations of clusters on bridges, checked with real VMs and real traffic.
//!
//! A scenario is a cluster and a list of expectations. One cluster serves many expectations, since booting takes most of the
//! time. Needs QEMU, the standard guest, which is built on first use, and a host that allows network namespaces to users.

mod harness;

// Scenarios.
mod default_cluster;
mod scenarios;
