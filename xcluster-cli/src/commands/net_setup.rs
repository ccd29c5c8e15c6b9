//! `net-setup`: sets up a NIC of a node for a QEMU that the user starts.

use serde::Serialize;
use xcluster_core::Cluster;
use xcluster_core::cluster::NamedPort;
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::HostAccess;

use super::open_if_needed::open_if_needed;
use super::select::attach;
use crate::args::NetSetupArgs;
use crate::exit::Exit;
use crate::output::{print, print_json};
use crate::report::{Failure, Outcome};
use crate::settings::Reader;
use crate::variables::Variables;

/// The first argument of a call that tears a port down, as for net-setup scripts.
const TEARDOWN: &str = "teardown";

/// Sets up the port and prints the QEMU args, or tears it down.
pub(super) async fn run(args: &NetSetupArgs, variables: &Variables, verbose: u8) -> Outcome {
    let (teardown, [node, net]) = match args.node_and_net.as_slice() {
        [node, net] => (false, [node, net]),
        [verb, node, net] if verb == TEARDOWN => (true, [node, net]),
        args => {
            let usage = format!("`{}` is not `[teardown] NODE NET`", args.join(" "));
            return Err(Failure::new(Exit::USAGE, usage));
        }
    };
    let mut reader = Reader::new(variables);
    let node = reader.value("NODE", Some(node), "", str::parse::<NodeId>);
    let net = reader.value("NET", Some(net), "", str::parse::<NetId>);
    reader.finish()?;
    let (Some(node), Some(net)) = (node, net) else { return Err(Failure::quiet(Exit::INVALID)) };
    if teardown {
        return undo(&attach(&args.name, variables).await?, node, net).await;
    }
    let port_config = open_if_needed(&args.name, variables, verbose).await?.set_up_named_port(node, net).await?;
    if args.json.json { print_json(&Answer::of(&port_config)) } else { print(&line(&port_config.args)?) }?;
    Ok(Exit::OK)
}

async fn undo(cluster: &Cluster, node: NodeId, net: NetId) -> Outcome {
    cluster.tear_down_port(node, net).await?;
    Ok(Exit::OK)
}

/// The JSON output of a net-setup script.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(rename = "words")]
    args: &'a [String],
    teardown: bool,
    access: &'a HostAccess,
}

impl<'a> Answer<'a> {
    fn of(port_config: &'a NamedPort) -> Self {
        Self { args: &port_config.args, teardown: true, access: &port_config.access }
    }
}

/// The args on one line. A shell must split it into the same args.
fn line(args: &[String]) -> Result<String, Failure> {
    match args.iter().find(|arg| arg.is_empty() || arg.contains(char::is_whitespace)) {
        None => Ok(format!("{}\n", args.join(" "))),
        Some(arg) => {
            let message = format!("a shell would split the arg `{arg}` at its blanks");
            Err(Failure::new(Exit::FAILURE, message).hint("`--json` prints it unchanged"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arg_that_a_shell_would_split_is_not_printed() {
        let args = |args: &[&str]| line(&args.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(args(&["-netdev", "tap,id=net1"]).unwrap(), "-netdev tap,id=net1\n");
        assert!(args(&["-netdev", "tap,ifname=a b"]).is_err());
        assert!(args(&[""]).is_err());
    }
}
