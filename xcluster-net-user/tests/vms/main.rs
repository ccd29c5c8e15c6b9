//! Expectations of clusters on user-space networking, checked with real VMs and real traffic.
//!
//! A scenario is a cluster and a list of expectations. One cluster serves many expectations, since booting takes most of the
//! time. Needs QEMU and the standard guest, which is built on first use. Runs as an ordinary user.

mod harness;

// Scenarios.
mod bare;
mod default_cluster;
mod failures;
mod five_nets;
mod neighbours;
mod own_guest;
mod owner;
mod scenarios;

// Expectations that are checked on the default cluster.
mod commands;
mod console;
mod internal_net;
mod overlays;
mod routing;
