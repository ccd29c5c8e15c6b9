//! Args of commands on network namespaces.

use std::ffi::OsString;

use clap::Args;
use xcluster_core::addr::Ipv6Prefix;
use xcluster_net_bridge::prepared::Index;

use super::cluster::JsonArg;

/// Prepare a network namespace for clusters on bridges; needs root.
///
/// The user who runs `sudo` can then use it without privileges. A repeated call creates only what is missing.
#[derive(Debug, Args)]
pub(crate) struct NsaddArgs {
    #[command(flatten)]
    pub(crate) which: PreparedArgs,
    /// MTU of its bridges in bytes, 1280 to 65535 [default: 1500].
    #[arg(long, value_name = "BYTES")]
    pub(crate) mtu: Option<u16>,
    /// The part of IPv6 addresses before the IPv4 address [default: 1000::1].
    #[arg(long, value_name = "PREFIX")]
    pub(crate) ipv6_prefix: Option<Ipv6Prefix>,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Remove a network namespace that `nsadd` made; needs root.
///
/// Also undoes all changes of `nsadd` on the host. Succeeds if the namespace does not exist.
#[derive(Debug, Args)]
pub(crate) struct NsdelArgs {
    #[command(flatten)]
    pub(crate) which: PreparedArgs,
}

/// The prepared namespace of a command.
#[derive(Debug, Args)]
pub(crate) struct PreparedArgs {
    /// Its number, 0 to 127.
    #[arg(value_name = "INDEX")]
    pub(crate) index: Index,
    /// The user of the namespace [default: the user who runs `sudo`].
    #[arg(long, value_name = "USER")]
    pub(crate) owner: Option<String>,
}

/// Run a shell or a program in a network namespace: a running cluster's, or one that `nsadd` prepared.
///
/// The program runs as you, with every privilege over the networks there: ip, nft, tcpdump. The exit code is the program's.
#[derive(Debug, Args)]
pub(crate) struct NsenterArgs {
    /// Name of a running cluster or of a network namespace, or a number of `nsadd`.
    #[arg(value_name = "NAME")]
    pub(crate) target: String,
    /// The program and its arguments [default: your shell].
    #[arg(value_name = "CMD", trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<OsString>,
}
