//! Args of commands that need no cluster.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::cluster::{JsonArg, NameArg};

/// Show the standard guest; build it if it does not exist yet.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// Build it again, from the newest packages.
    #[arg(long)]
    pub(crate) rebuild: bool,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Check this host, and print the commands that fix problems.
///
/// The exit code is 0 if a cluster can be started.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Show the environment variables that xcluster reads, with their values.
#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Print the ports of a running cluster instead, for `eval "$(xcluster env --ports)"`.
    #[arg(long)]
    pub(crate) ports: bool,
    /// Print shell assignments of the original xcluster's variables instead, with the values that a start would use now.
    #[arg(long, conflicts_with_all = ["ports", "json"])]
    pub(crate) shell: bool,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Print the completions for a shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: Shell,
}

/// Write the man pages of all commands into a folder.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder; it is created if needed.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}
