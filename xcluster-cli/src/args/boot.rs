//! The arguments of commands that start a node by itself, or wire it for somebody else.

use clap::Args;

use super::{JsonArg, NameArg};

/// Boot nodes of a cluster, in an order and with arguments of your own.
///
/// Each node is as the cluster's plan has it; what is typed here, or said by the variables of that node (`__mem3`), goes over
/// it. A node need not be planned, nor its nets exist: they come to the cluster. Nodes that are named together boot side by
/// side.
///
/// Where no cluster of that name runs, one is opened as by `start --no-nodes` with the variables as they are. Ctrl-C calls
/// the boots off.
#[derive(Debug, Args)]
pub(crate) struct BootArgs {
    // Before the node's options, whose headings would go on over it.
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Nodes: 2, vm-002, 1-4, and those that are planned as `workers`, `routers`, `testers`, `all`.
    #[arg(value_name = "NODE", required = true)]
    pub(crate) nodes: Vec<String>,
    /// Nets of each of them, in the order of its NICs; net 0 first.
    #[arg(long, value_name = "NETS")]
    pub(crate) nets: Option<String>,
    /// Memory in MiB, or with a unit as `1G`.
    #[arg(long, value_name = "MIB")]
    pub(crate) mem: Option<String>,
    /// Processors.
    #[arg(long, value_name = "COUNT")]
    pub(crate) smp: Option<String>,
    /// Args added to the kernel's command line.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub(crate) append: Option<String>,
    /// TCP ports that the host shall reach, besides telnet and ssh.
    #[arg(long, value_name = "PORTS")]
    pub(crate) expose: Option<String>,
    /// Further arg for the QEMU of each of them, after those of the cluster; can be repeated.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) qemu_arg: Vec<String>,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Wire a NIC of a node, and print the args for a QEMU that you start yourself: a net-setup script.
///
/// The net is made if it is not there, by whichever backend it has. A repeated call answers the same. Where no cluster of that
/// name runs, one is opened as `boot` does.
///
/// Args refer to taps by name, so that QEMU must run where they are: `xcluster nsenter NAME qemu-system-x86_64 …` if the
/// cluster has a network namespace of its own. The node's own boot, its stop, and the end of the cluster undo the wiring.
#[derive(Debug, Args)]
#[command(override_usage = "xcluster net-setup [OPTIONS] [teardown] <NODE> <NET>")]
pub(crate) struct NetSetupArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// The node and the net, by number; after `teardown` the wiring is undone instead.
    #[arg(value_names = ["NODE", "NET"], required = true, num_args = 2..=3)]
    pub(crate) node_and_net: Vec<String>,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}
