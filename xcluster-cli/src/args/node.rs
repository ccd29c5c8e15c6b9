//! The arguments of commands on nodes.

use std::ffi::OsString;

use clap::Args;

use super::{JsonArg, NameArg};

/// Run a command in nodes.
///
/// Exits with the command's code; of several nodes with the first one that is not 0, in the order of the nodes, after all
/// of them have ended. Signal N is reported as 128 + N, a deadline as 124.
///
/// One word alone is a line for the guest's shell; several words are a program and its arguments, as they are. A single
/// node's command reads standard input.
#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Nodes: 2, vm-002, 1-4, `workers`, `routers`, `testers`, `all`.
    #[arg(value_name = "NODE", required = true)]
    pub(crate) nodes: Vec<String>,
    /// The command.
    #[arg(value_name = "CMD", required = true, last = true)]
    pub(crate) command: Vec<OsString>,
    /// Kill the command after this time, in seconds, or as `5m` [default: never].
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// Do not read standard input.
    #[arg(long, short = 'n')]
    pub(crate) no_stdin: bool,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Join the serial console of a node.
///
/// Several may join at the same time. Ctrl-] leaves it.
#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// The node: 2 or vm-002.
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// Print what was written so far, and end.
    #[arg(long)]
    pub(crate) log: bool,
}

/// Open a terminal to a node, by telnet on the internal net.
///
/// Ctrl-] leaves it. Without a terminal, what is piped in is typed.
#[derive(Debug, Args)]
pub(crate) struct VmArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// The node: 2 or vm-002.
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
}

/// Log in to a node with OpenSSH, or run a command by it.
///
/// No host key is checked or kept: nodes are made anew with every start.
#[derive(Debug, Args)]
pub(crate) struct SshArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// User in the node.
    #[arg(long, short, value_name = "USER", default_value = "root")]
    pub(crate) login: String,
    /// The node: 2 or vm-002.
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// The command; without it a shell.
    #[arg(value_name = "CMD", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}

/// Copy a file into a node or out of it.
///
/// One of both is `NODE:PATH`, the other a local path or `-` for standard input or output. A folder as destination gets
/// the file under its own name.
#[derive(Debug, Args)]
pub(crate) struct CpArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// What is copied.
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// Where to.
    #[arg(value_name = "DST")]
    pub(crate) destination: String,
}
