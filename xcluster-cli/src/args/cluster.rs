//! The arguments of commands on whole clusters.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{JsonArg, NameArg};

/// Start a cluster.
///
/// Each value is taken from the option; without it from the variable of the original xcluster (`xcluster env` lists them);
/// without that from the topology file; without that it is the default: four nodes and two routers.
///
/// The command returns when every node is ready. Ctrl-C before that stops what was started.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Stay, and stop the cluster at Ctrl-C or SIGTERM.
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Start no node: they wait until `boot` starts them.
    #[arg(long)]
    pub(crate) no_nodes: bool,
    // Before the cluster, whose headings would go on over it.
    #[command(flatten)]
    pub(crate) json: JsonArg,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Show what a start would do, without doing anything.
///
/// Needs neither root nor QEMU. Takes the options of `start`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) json: JsonArg,
    /// Print the topology instead, as a file for `--topology`: what was typed is in it.
    #[arg(long, conflicts_with_all = ["json", "schema"])]
    pub(crate) toml: bool,
    /// Print the JSON schema of topology files instead, for editors.
    #[arg(long, conflicts_with = "json")]
    pub(crate) schema: bool,
    /// Show the plan of the running cluster instead, with the nodes that came to it later.
    #[arg(long, conflicts_with_all = ["toml", "schema", "topology"])]
    pub(crate) running: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// List the backends that can be loaded: what each is, or why it cannot be used.
///
/// They are looked for in the folders of `$XCLUSTER_PLUGINS`, else in `~/.local/lib/xcluster`, `/usr/local/lib/xcluster` and
/// `/usr/lib/xcluster`, as `libxcluster_net_NAME.so`.
#[derive(Debug, Args)]
pub(crate) struct PluginsArgs {
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Stop a cluster, or single nodes of it.
///
/// The others go on; `boot` starts a node again.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Stop these nodes alone: 2, vm-002, 1-4, `workers`, `routers`, `testers`.
    #[arg(value_name = "NODE", conflicts_with = "all")]
    pub(crate) nodes: Vec<String>,
    /// Stop every cluster of yours.
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
}

/// Show a cluster: its owner, its nodes, their addresses and ports.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Show every cluster of yours.
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// What a cluster shall be like.
#[derive(Debug, Default, Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// File that describes the cluster, in TOML or JSON.
    #[arg(long, value_name = "FILE", help_heading = "Topology")]
    pub(crate) topology: Option<PathBuf>,
    /// Number of workers, 0–200 [default: 4].
    #[arg(long, value_name = "COUNT", help_heading = "Topology")]
    pub(crate) nvm: Option<String>,
    /// Number of routers, 0–20 [default: 2].
    #[arg(long, value_name = "COUNT", help_heading = "Topology")]
    pub(crate) nrouters: Option<String>,
    /// Number of testers, 0–20 [default: 0].
    #[arg(long, value_name = "COUNT", help_heading = "Topology")]
    pub(crate) ntesters: Option<String>,
    /// Nets of each node, in the order of its NICs [default: 0,1].
    #[arg(long, alias = "nets_vm", value_name = "NETS", help_heading = "Topology")]
    pub(crate) nets_vm: Option<String>,
    /// Nets of each router [default: 0,1,2].
    #[arg(long, alias = "nets_router", value_name = "NETS", help_heading = "Topology")]
    pub(crate) nets_router: Option<String>,
    /// Nets of each tester [default: 0,2].
    #[arg(long, alias = "nets_tester", value_name = "NETS", help_heading = "Topology")]
    pub(crate) nets_tester: Option<String>,
    /// Memory of each node in MiB, or with a unit as `1G` [default: 128].
    #[arg(long, value_name = "MIB", help_heading = "Topology")]
    pub(crate) mem: Option<String>,
    /// Processors of each node [default: 2].
    #[arg(long, value_name = "COUNT", help_heading = "Topology")]
    pub(crate) smp: Option<String>,
    /// Args added to each kernel's command line.
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true, help_heading = "Topology")]
    pub(crate) append: Option<String>,
    /// MTU of all nets, in bytes, 1280–65535 [default: 1500].
    #[arg(long, value_name = "BYTES", help_heading = "Topology")]
    pub(crate) mtu: Option<String>,
    /// What differs for one node, as `201:mem=384,nets=0,1,2,smp=4`; can be repeated.
    ///
    /// Keys: `mem`, `smp`, `nets`, `append`, `expose` (TCP ports that the host shall reach), `forward` (yes or no).
    #[arg(long, value_name = "NODE:KEY=VALUE,…", help_heading = "Topology")]
    pub(crate) node: Vec<String>,
    #[command(flatten)]
    pub(crate) nets: NetArgs,
    #[command(flatten)]
    pub(crate) guest: GuestArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// Who carries the nets.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Networks")]
pub(crate) struct NetArgs {
    /// Backend of all nets that name none: `bridge`, `user`, `ovs`, `script` with `--net-setup`, or the name of a plugin [default:
    /// `script` with `--net-setup`, else `bridge` if this host can, else `user`].
    #[arg(long, value_name = "BACKEND")]
    pub(crate) net: Option<String>,
    /// Program that wires the nets: it is called with the numbers of a node and of a net, and prints args for QEMU.
    ///
    /// It runs where you are or, if `--netns` names one, in that network namespace.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) net_setup: Option<PathBuf>,
    /// Plugin to load, a backend for `--net` and for topologies: a path, or a name that `xcluster plugins` lists; can be
    /// repeated. One that is named as a backend is found by itself.
    #[arg(long, value_name = "PATH|NAME")]
    pub(crate) plugin: Vec<PathBuf>,
    /// Network namespace for bridges: `private` (the cluster's own), `here`, a name, or the number that `nsadd` was
    /// given [default: `here` if there is a link `xcbr0` here, else `private`].
    #[arg(long, value_name = "NETNS")]
    pub(crate) netns: Option<String>,
    /// Give a private network namespace a way to the world, by the program `pasta`: routers reach it, and what they
    /// masquerade.
    #[arg(long)]
    pub(crate) uplink: bool,
    /// Pairs of queues of each NIC on a bridge, 1–16 [default: 1].
    #[arg(long, value_name = "COUNT")]
    pub(crate) queues: Option<String>,
    /// What is said to a backend, as `bridge.queues=2`; can be repeated. The topology file has it in tables, as
    /// `[backend.bridge]`.
    #[arg(long, value_name = "BACKEND.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// What the nodes boot.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Guest")]
pub(crate) struct GuestArgs {
    /// Kernel of your own.
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,
    /// Initramfs of your own.
    #[arg(long, visible_alias = "initramfs", value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,
    /// Disk image of your own; nodes write to an overlay of it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "initrd"])]
    pub(crate) disk: Option<PathBuf>,
    /// Overlay unpacked over the guest: a tar, a folder, or a folder with an executable `tar`; can be repeated.
    ///
    /// A name without `/` that is no file here is looked up in the folders of XCLUSTER_OVLPATH.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) overlay: Vec<PathBuf>,
    /// When a node counts as ready: `agent`, `ssh`, `console:PATTERN` or `started` [default: `agent`,
    /// of a disk image `ssh`].
    #[arg(long, value_name = "SIGN")]
    pub(crate) ready: Option<String>,
    /// Where a node takes its number from [default: mac].
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub(crate) identity: Option<IdentityArg>,
    /// Leave all nets but the internal one unconfigured in the guests.
    #[arg(long)]
    pub(crate) no_configure: bool,
    /// Start neither telnet nor ssh in the nodes; both let everybody on this host in, without a password.
    #[arg(long)]
    pub(crate) no_login: bool,
}

/// How the nodes are run.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "QEMU")]
pub(crate) struct RunArgs {
    /// How processors are virtualised [default: auto].
    #[arg(long, value_enum, value_name = "ACCELERATOR")]
    pub(crate) accel: Option<AccelArg>,
    /// Machine type of QEMU [default: pc].
    #[arg(long, value_name = "TYPE")]
    pub(crate) machine: Option<String>,
    /// The QEMU to run: a path, or a name to be found on PATH [default: qemu-system-x86_64].
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) qemu: Option<PathBuf>,
    /// Further arg for every QEMU; can be repeated.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) qemu_arg: Vec<String>,
    /// How long a node may take until it is ready, in seconds, or as `5m` [default: what suits the accelerator].
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// How many nodes boot at the same time, over all clusters of yours [default: what suits the
    /// accelerator].
    #[arg(long, value_name = "COUNT")]
    pub(crate) boots: Option<String>,
}

/// Where a node takes its number from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IdentityArg {
    /// The last byte of eth0's hardware address.
    Mac,
    /// A kernel argument.
    Kernel,
}

/// How processors are virtualised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccelArg {
    /// By KVM if a guest really runs on it here, else in software.
    Auto,
    /// By KVM.
    Kvm,
    /// In software.
    Tcg,
}
