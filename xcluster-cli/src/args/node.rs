//! Args of commands that work on a running node.

use std::ffi::OsString;

use clap::Args;

use super::cluster::{JsonArg, NameArg};

/// Run a command in nodes.
///
/// The exit code is the command's. For several nodes it is the first one that is not 0, in the order of the nodes. Signal N is
/// reported as 128 + N, a deadline as 124.
///
/// A single argument is a line for the guest's shell; several arguments are a program and its arguments. With a single node,
/// the command reads standard input.
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
    /// Kill the command after this time, in seconds or with a unit, such as `5m` [default: never].
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<String>,
    /// Do not read standard input.
    #[arg(long, short = 'n')]
    pub(crate) no_stdin: bool,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Open the serial console of a node.
///
/// Several users can open it at the same time. Ctrl-] leaves it.
#[derive(Debug, Args)]
pub(crate) struct ConsoleArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// The node: 2 or vm-002.
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// Print the output so far, and exit.
    #[arg(long)]
    pub(crate) log: bool,
}

/// Open a terminal on a node, by telnet on the internal net.
///
/// Ctrl-] leaves it. Without a terminal, standard input is typed into the node's shell.
#[derive(Debug, Args)]
pub(crate) struct VmArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// The node: 2 or vm-002.
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
}

/// Log in to a node with OpenSSH, or run a command with it.
///
/// Host keys are neither checked nor kept, because nodes are new at every start.
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
    /// The command [default: a shell].
    #[arg(value_name = "CMD", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}

/// Copy a file into a node or out of it.
///
/// One side is `NODE:PATH`, the other is a local path, or `-` for standard input or output. If the destination is a folder,
/// the file keeps its name.
#[derive(Debug, Args)]
pub(crate) struct CpArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// The file to copy.
    #[arg(value_name = "SRC")]
    pub(crate) source: String,
    /// The destination.
    #[arg(value_name = "DST")]
    pub(crate) destination: String,
}

/// Forward ports of this host to nodes, while the command runs.
///
/// Ends with Ctrl-C, or with the cluster. Everybody who reaches the port reaches the node: by default only users of this host.
#[derive(Debug, Args)]
pub(crate) struct ForwardArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// The local address and port, the node and its port: 8080:1:80, 0:vm-002:22, 0.0.0.0:8080:1:80.
    ///
    /// The default address is 127.0.0.1. Port 0 picks a free port.
    #[arg(value_name = "[ADDRESS:]LOCAL:NODE:PORT", required = true)]
    pub(crate) forwards: Vec<String>,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Connect standard input and output to a TCP port of a node.
///
/// Other programs can use it to reach nodes, such as ssh with ProxyCommand.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// The node: 2 or vm-002.
    #[arg(value_name = "NODE")]
    pub(crate) node: String,
    /// The port.
    #[arg(value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: u16,
    /// Send the connection over standard output, which is a socket, and exit: for ssh with ProxyUseFdpass.
    #[arg(long)]
    pub(crate) fdpass: bool,
}
