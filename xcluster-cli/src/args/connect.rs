//! The arguments of commands that bring programs of this host to nodes.

use std::ffi::OsString;

use clap::Args;

use super::{JsonArg, NameArg};

/// Let ports of this host lead to nodes, for as long as the command runs.
///
/// Ends with Ctrl-C, or with the cluster. Whoever reaches the port reaches the node: by default only this host does.
#[derive(Debug, Args)]
pub(crate) struct ForwardArgs {
    #[command(flatten)]
    pub(crate) name: NameArg,
    /// Where to listen, and the node and port that it leads to: 8080:1:80, 0:vm-002:22, 0.0.0.0:8080:1:80.
    ///
    /// Without an address it is 127.0.0.1; port 0 is one that is free.
    #[arg(value_name = "[ADDRESS:]LOCAL:NODE:PORT", required = true)]
    pub(crate) forwards: Vec<String>,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Connect to a TCP port of a node: standard input goes there, what it says to standard output.
///
/// It is what other programs reach nodes by, as ssh does with ProxyCommand.
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
    /// Hand the connection over on standard output, which is a socket, and end: for ssh with ProxyUseFdpass.
    #[arg(long)]
    pub(crate) fdpass: bool,
}

/// Run a shell or a program in a network namespace: a running cluster's, or one that `nsadd` has prepared.
///
/// It runs as you, with every privilege over the networks there: ip, nft, tcpdump. It ends with the program's code.
#[derive(Debug, Args)]
pub(crate) struct NsenterArgs {
    /// Name of a running cluster, or of a network namespace; or the number that `nsadd` was given.
    #[arg(value_name = "NAME")]
    pub(crate) target: String,
    /// The program; without it your shell.
    #[arg(value_name = "CMD", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}
