//! The args as clap parses them. Values stay texts: `settings` interprets them together with the environment and the topology
//! file, so that all mistakes are reported at once.

mod boot;
mod cluster;
mod host;
mod netns;
mod node;

use clap::{ArgAction, CommandFactory, Parser, Subcommand};

use crate::exit;

pub(crate) use boot::{BootArgs, NetSetupArgs};
pub(crate) use cluster::{
    AccelArg, ClusterArgs, GuestArgs, IdentityArg, NameArg, PlanArgs, PluginsArgs, StartArgs, StatusArgs, StopArgs,
};
pub(crate) use host::{CompletionsArgs, DoctorArgs, EnvArgs, ImageArgs, ManArgs};
pub(crate) use netns::{NsaddArgs, NsdelArgs, NsenterArgs, PreparedArgs};
pub(crate) use node::{ConnectArgs, ConsoleArgs, CpArgs, ExecArgs, ForwardArgs, SshArgs, VmArgs};

/// The command line as clap knows it.
pub(crate) fn command() -> clap::Command {
    Args::command()
}

/// Start clusters of real VMs on virtual networks, and work with them.
///
/// A cluster lives as long as its owner: the process that `start` leaves behind, or `start --foreground` itself. Nothing
/// survives the owner.
///
/// You can add commands: functions `cmd_NAME` in the shell file that XCLUSTER_HOOK names, or programs `xcluster-NAME` on the
/// path.
#[derive(Debug, Parser)]
#[command(
    name = "xcluster",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = exit::help(),
)]
pub(crate) struct Args {
    /// Log more on standard error: `-v` logs each action, `-vv` every detail.
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(alias = "starts")]
    Start(Box<StartArgs>),
    Boot(BootArgs),
    Stop(StopArgs),
    Status(StatusArgs),
    Plan(Box<PlanArgs>),
    Plugins(PluginsArgs),
    Exec(ExecArgs),
    Console(ConsoleArgs),
    Vm(VmArgs),
    #[command(alias = "rsh")]
    Ssh(SshArgs),
    #[command(alias = "rcp")]
    Cp(CpArgs),
    Forward(ForwardArgs),
    Connect(ConnectArgs),
    Nsadd(NsaddArgs),
    Nsdel(NsdelArgs),
    Nsenter(NsenterArgs),
    NetSetup(NetSetupArgs),
    Image(ImageArgs),
    Doctor(DoctorArgs),
    Env(EnvArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
    /// Own a cluster; run by `start`.
    #[command(hide = true)]
    Owner {
        /// The cluster's name, for readers of process lists.
        name: String,
    },
}
