//! The arguments of commands that need no cluster.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

use super::{JsonArg, NameArg};

/// Show the guest that nodes boot; build it if it is not there yet.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// Build it anew, from packages fetched anew.
    #[arg(long)]
    pub(crate) rebuild: bool,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Say what this host can do, and what to install.
///
/// Exits with 0 if a cluster can be started.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Show the environment variables that are honoured, with their values.
#[derive(Debug, Args)]
pub(crate) struct EnvArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Print the ports of a running cluster instead, for `eval "$(xcluster env --ports)"`.
    #[arg(long)]
    pub(crate) ports: bool,
    /// Print assignments for a shell instead: the variables of the original xcluster, as a start would resolve them now.
    #[arg(long, conflicts_with_all = ["ports", "json"])]
    pub(crate) shell: bool,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Print the completions of a shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: Shell,
}

/// Write the man pages of all commands into a folder.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder; it is made if need be.
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
}
