//! Args of commands on whole clusters, and those that many commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Start a cluster.
///
/// Each value comes from its option; else from its variable (`xcluster env` lists them); else from the topology file; else it is
/// the default. The default cluster has four workers and two routers.
///
/// The command returns when every node is ready. Ctrl-C before that stops everything that was started.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Do not return; stop the cluster at Ctrl-C or SIGTERM.
    #[arg(long)]
    pub(crate) foreground: bool,
    /// Start everything but the nodes, which `boot` starts later.
    #[arg(long)]
    pub(crate) no_nodes: bool,
    // Before the options of the cluster: their heading would include it.
    #[command(flatten)]
    pub(crate) json: JsonArg,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Show what a start would do, without doing anything.
///
/// Needs neither root nor QEMU. Takes the same options as `start`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) json: JsonArg,
    /// Print the topology instead, as a file for `--topology` that includes the given options.
    #[arg(long, conflicts_with_all = ["json", "schema"])]
    pub(crate) toml: bool,
    /// Print the JSON schema of topology files instead, for editors.
    #[arg(long, conflicts_with = "json")]
    pub(crate) schema: bool,
    /// Show the plan of the running cluster instead, with everything added since its start.
    #[arg(long, conflicts_with_all = ["toml", "schema", "topology"])]
    pub(crate) running: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// List the plugins that can be loaded, or why one cannot.
///
/// A plugin is a file `libxcluster_net_NAME.so` in a folder of `$XCLUSTER_PLUGINS`, else in `~/.local/lib/xcluster`,
/// `/usr/local/lib/xcluster` or `/usr/lib/xcluster`.
#[derive(Debug, Args)]
pub(crate) struct PluginsArgs {
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Stop a cluster, or single nodes of it.
///
/// Other nodes keep running; `boot` starts a node again.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Stop only these nodes: 2, vm-002, 1-4, `workers`, `routers`, `testers`.
    #[arg(value_name = "NODE", conflicts_with = "all")]
    pub(crate) nodes: Vec<String>,
    /// Stop all your clusters.
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
}

/// Show a cluster: its owner, its nodes, their addresses and ports.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Show all your clusters.
    #[arg(long, conflicts_with = "name")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Topology and options of a cluster.
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
    /// Nets of each worker, in the order of its NICs [default: 0,1].
    #[arg(long, alias = "nets_vm", value_name = "NETS", help_heading = "Topology")]
    pub(crate) nets_vm: Option<String>,
    /// Nets of each router [default: 0,1,2].
    #[arg(long, alias = "nets_router", value_name = "NETS", help_heading = "Topology")]
    pub(crate) nets_router: Option<String>,
    /// Nets of each tester [default: 0,2].
    #[arg(long, alias = "nets_tester", value_name = "NETS", help_heading = "Topology")]
    pub(crate) nets_tester: Option<String>,
    /// Memory of each node in MiB, or with a unit, such as `1G` [default: 128].
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
    /// Settings of one node, such as `201:mem=384,nets=0,1,2,smp=4`; can be repeated.
    ///
    /// Keys: `mem`, `smp`, `nets`, `append`, `expose` (TCP ports that the host can reach), `forward` (yes or no).
    #[arg(long, value_name = "NODE:KEY=VALUE,…", help_heading = "Topology")]
    pub(crate) node: Vec<String>,
    #[command(flatten)]
    pub(crate) nets: NetArgs,
    #[command(flatten)]
    pub(crate) guest: GuestArgs,
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// The backends of the nets.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Networks")]
pub(crate) struct NetArgs {
    /// Backend of all nets that name none: `bridge`, `user`, `ovs`, `script` with `--net-setup`, or the name of a plugin [default:
    /// `script` with `--net-setup`, else `bridge` if this host can, else `user`].
    #[arg(long, value_name = "BACKEND")]
    pub(crate) net: Option<String>,
    /// Net-setup script: a program that is called with the numbers of a node and of a net, and prints args for QEMU.
    ///
    /// It runs in the current network namespace, or in that of `--netns`.
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) net_setup: Option<PathBuf>,
    /// Plugin to load: a path, or a name that `xcluster plugins` lists; can be repeated.
    ///
    /// A plugin that `--net` or the topology names is found automatically.
    #[arg(long, value_name = "PATH|NAME")]
    pub(crate) plugin: Vec<PathBuf>,
    /// Network namespace of bridges: `private` (the cluster's own), `here` (the current one), a name, or a number of `nsadd`
    /// [default: `here` if there is a link `xcbr0` here, else `private`].
    #[arg(long, value_name = "NETNS")]
    pub(crate) netns: Option<String>,
    /// Connect a private network namespace to the outside, by the program `pasta`. Routers use this uplink, and so do the nets
    /// that they masquerade.
    #[arg(long)]
    pub(crate) uplink: bool,
    /// Queue pairs of each NIC on a bridge, 1–16 [default: 1].
    #[arg(long, value_name = "COUNT")]
    pub(crate) queues: Option<String>,
    /// Setting of a backend, such as `bridge.queues=2`; can be repeated. It wins over the tables of the topology file, such as
    /// `[backend.bridge]`.
    #[arg(long, value_name = "BACKEND.KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// The guest of the nodes.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Guest")]
pub(crate) struct GuestArgs {
    /// Your own kernel.
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,
    /// Your own initramfs.
    #[arg(long, visible_alias = "initramfs", value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,
    /// Your own disk image; nodes write to an overlay of it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["kernel", "initrd"])]
    pub(crate) disk: Option<PathBuf>,
    /// Overlay that is put over the guest: a tar, a folder, or a folder with an executable `tar`; can be repeated.
    ///
    /// A name without `/` that is not a file here is looked up in the folders of XCLUSTER_OVLPATH.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub(crate) overlay: Vec<PathBuf>,
    /// When a node is ready: `agent`, `ssh`, `console:PATTERN` or `started` [default: `agent`; `ssh` for a disk image].
    #[arg(long, value_name = "SIGN")]
    pub(crate) ready: Option<String>,
    /// Where a node takes its number from [default: mac].
    #[arg(long, value_enum, value_name = "SOURCE")]
    pub(crate) identity: Option<IdentityArg>,
    /// Leave all nets but the internal one unconfigured in the guests.
    #[arg(long)]
    pub(crate) no_configure: bool,
    /// Start neither telnet nor ssh in the nodes. Both need no password; with `--net user` every user of this host can log in.
    #[arg(long)]
    pub(crate) no_login: bool,
}

/// The QEMU of the nodes.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "QEMU")]
pub(crate) struct RunArgs {
    /// Accelerator of the VMs [default: auto].
    #[arg(long, value_enum, value_name = "ACCELERATOR")]
    pub(crate) accel: Option<AccelArg>,
    /// Machine type of QEMU [default: pc].
    #[arg(long, value_name = "TYPE")]
    pub(crate) machine: Option<String>,
    /// The QEMU to run: a path, or a name on PATH [default: qemu-system-x86_64].
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) qemu: Option<PathBuf>,
    /// Additional arg for every QEMU; can be repeated.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub(crate) qemu_arg: Vec<String>,
    /// How long a node may take until it is ready, in seconds or with a unit, such as `5m` [default: depends on the accelerator].
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// How many nodes boot at the same time, over all your clusters [default: depends on the accelerator].
    #[arg(long, value_name = "COUNT")]
    pub(crate) boots: Option<String>,
}

/// The source of a node's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IdentityArg {
    /// The last byte of eth0's hardware address.
    Mac,
    /// A kernel argument.
    Kernel,
}

/// The accelerator of the VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccelArg {
    /// KVM if a guest really runs on it here, else emulation.
    Auto,
    /// KVM.
    Kvm,
    /// Emulation.
    Tcg,
}

/// The cluster of a command.
#[derive(Debug, Default, Args)]
pub(crate) struct NameArg {
    /// Name of the cluster [default: $XCLUSTER_NAME, else `default`].
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// The form in which data is printed.
#[derive(Debug, Default, Clone, Copy, Args)]
pub(crate) struct JsonArg {
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
