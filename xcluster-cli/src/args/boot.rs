//! Args of commands that start a node alone, or set up its ports for a QEMU of the user.

use clap::Args;

use super::cluster::{JsonArg, NameArg};

/// Boot nodes of a cluster, in your own order and with your own settings.
///
/// The plan decides how a node is booted. Variables of that node (`__mem3`) win over the plan, and options win over variables.
/// A node need not be in the plan, and its nets need not exist: they are added to the cluster. Nodes of one command boot side
/// by side.
///
/// If the cluster is not running, it is opened like `start --no-nodes`, with the current variables. Ctrl-C cancels the boots.
#[derive(Debug, Args)]
pub(crate) struct BootArgs {
    // Before the node's options: their heading would include it.
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Nodes: 2, vm-002, 1-4, or those of the plan as `workers`, `routers`, `testers`, `all`.
    #[arg(value_name = "NODE", required = true)]
    pub(crate) nodes: Vec<String>,
    /// Nets of each of these nodes, in the order of its NICs; net 0 first.
    #[arg(long, value_name = "NETS")]
    pub(crate) nets: Option<String>,
    /// Memory in MiB, or with a unit, such as `1G`.
    #[arg(long, value_name = "MIB")]
    pub(crate) mem: Option<String>,
    /// Number of processors.
    #[arg(long, value_name = "COUNT")]
    pub(crate) smp: Option<String>,
    /// Args added to the kernel's command line.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub(crate) append: Option<String>,
    /// TCP ports that the host can reach, besides telnet and ssh.
    #[arg(long, value_name = "PORTS")]
    pub(crate) expose: Option<String>,
    /// Additional arg for the QEMU of each of these nodes, after those of the cluster; can be repeated.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub(crate) qemu_arg: Vec<String>,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Set up a NIC of a node for a QEMU that you start yourself, and print its args, like a net-setup script.
///
/// A net that does not exist is made by its backend. A repeated call prints the same. If the cluster is not running, it is
/// opened as by `boot`.
///
/// The args name taps, so QEMU must run in the taps' namespace: `xcluster nsenter NAME qemu-system-x86_64 …` if the cluster has
/// its own network namespace. A boot of the node by the cluster, its stop, and the end of the cluster tear the port down.
#[derive(Debug, Args)]
#[command(override_usage = "xcluster net-setup [OPTIONS] [teardown] <NODE> <NET>")]
pub(crate) struct NetSetupArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// The node and the net, by number; `teardown` before them tears the port down.
    #[arg(value_names = ["NODE", "NET"], required = true, num_args = 2..=3)]
    pub(crate) node_and_net: Vec<String>,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}
