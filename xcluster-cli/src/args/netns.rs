//! The arguments of commands that prepare network namespaces.

use clap::Args;
use xcluster_core::addr::Ipv6Prefix;
use xcluster_net_bridge::prepared::Index;

use super::JsonArg;

/// Prepare a network namespace for clusters on bridges; takes root.
///
/// It is for the user who runs `sudo`, who enters it without any privilege afterwards. A repeated call makes what is missing.
#[derive(Debug, Args)]
pub(crate) struct NsaddArgs {
    #[command(flatten)]
    pub(crate) which: PreparedArgs,
    /// MTU of its bridges in bytes, 1280 to 65535 [default: 1500].
    #[arg(long, value_name = "BYTES")]
    pub(crate) mtu: Option<u16>,
    /// What stands before the IPv4 address in the cluster's IPv6 addresses [default: 1000::1].
    #[arg(long, value_name = "PREFIX")]
    pub(crate) ipv6_prefix: Option<Ipv6Prefix>,
    #[command(flatten)]
    pub(crate) json: JsonArg,
}

/// Remove a network namespace that `nsadd` made; takes root.
///
/// With it goes everything that was changed on the host for it. A repeated call finds nothing, which is no failure.
#[derive(Debug, Args)]
pub(crate) struct NsdelArgs {
    #[command(flatten)]
    pub(crate) which: PreparedArgs,
}

/// Which prepared namespace a command is about.
#[derive(Debug, Args)]
pub(crate) struct PreparedArgs {
    /// Its number, 0 to 127.
    #[arg(value_name = "INDEX")]
    pub(crate) index: Index,
    /// Whose it is [default: who runs `sudo`].
    #[arg(long, value_name = "USER")]
    pub(crate) owner: Option<String>,
}
