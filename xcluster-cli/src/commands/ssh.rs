//! `ssh`: runs OpenSSH with the options for nodes that are new at every start.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use xcluster_core::name::ClusterName;
use xcluster_core::{ClusterStatus, NodeStatus};

use super::select::{attach, login, one};
use crate::args::SshArgs;
use crate::exit::Exit;
use crate::report::{Failure, Outcome};
use crate::variables::Variables;

/// The port of ssh in a node.
const SSH: u16 = 22;

/// Replaces this process by ssh, so that exit code and signals are those of ssh.
pub(super) async fn run(args: &SshArgs, variables: &Variables) -> Outcome {
    let status = attach(&args.name, variables).await?.status().await?;
    let node = one(&args.node, &status)?;
    login(node, &status)?;
    let transport = Transport::to(node, &status)?;
    let error = Command::new("ssh").args(ssh_args(&transport, &args.login, &args.command)).exec();
    let failure = Failure::io("run `ssh`", &error).with_exit(Exit::HOST);
    Err(failure.hint("`sudo apt-get install openssh-client`, or use `xcluster vm` or `xcluster exec`"))
}

/// The way in which ssh reaches a node.
#[derive(Debug)]
enum Transport {
    /// Through a port of this host.
    Port(SocketAddr),
    /// Through a connection of `xcluster connect`.
    Connect { node: String, command: String },
}

impl Transport {
    fn to(node: &NodeStatus, status: &ClusterStatus) -> Result<Self, Failure> {
        if let Some(forward) = node.forwards.iter().find(|forward| forward.port == SSH) {
            return Ok(Self::Port(forward.host));
        }
        let program = std::env::current_exe().map_err(|error| Failure::io("find this program", &error))?;
        Ok(Self::Connect { node: node.name.clone(), command: proxy(&program, &status.name, node) })
    }
}

/// The command that connects, quoted for the shell that ssh starts. A percent sign is doubled, since ssh expands it.
fn proxy(program: &Path, cluster: &ClusterName, node: &NodeStatus) -> String {
    let program = program.to_string_lossy().replace('\'', r"'\''").replace('%', "%%");
    format!("'{program}' connect --fdpass --name {cluster} {} {SSH}", node.id.number())
}

/// The args of `ssh`. Host keys are neither checked nor kept: the next start has another key on the same port.
fn ssh_args(transport: &Transport, login: &str, command: &[OsString]) -> Vec<OsString> {
    const OPTIONS: [&str; 4] = [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        // Without it, ssh would report that the key was added to the list, which is /dev/null.
        "LogLevel=ERROR",
    ];
    let mut ssh_args: Vec<OsString> =
        OPTIONS.into_iter().flat_map(|option| ["-o", option]).map(OsString::from).collect();
    let host = match transport {
        Transport::Port(address) => {
            ssh_args.extend(["-p".into(), address.port().to_string().into()]);
            address.ip().to_string()
        }
        Transport::Connect { node, command } => {
            ssh_args.extend(["-o".into(), format!("ProxyCommand={command}").into()]);
            ssh_args.extend(["-o".into(), "ProxyUseFdpass=yes".into()]);
            node.clone()
        }
    };
    ssh_args.extend(["-l".into(), login.into(), "--".into(), host.into()]);
    ssh_args.extend(command.iter().cloned());
    ssh_args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(transport: &Transport) -> String {
        let ssh_args = ssh_args(transport, "root", &["ip".into(), "-br".into()]);
        ssh_args.iter().map(|arg| arg.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ssh_uses_the_forwarded_port_and_keeps_no_key() {
        insta::assert_snapshot!(line(&Transport::Port("127.0.0.1:12302".parse().unwrap())));
    }

    #[test]
    fn ssh_uses_a_connection_if_there_is_no_port() {
        let status: ClusterStatus = serde_json::from_str(include_str!("../../tests/fixtures/bridge.json")).unwrap();
        let node = &status.nodes[0];
        let command = proxy(Path::new("/opt/100% Bob's/xcluster"), &status.name, node);
        insta::assert_snapshot!(line(&Transport::Connect { node: node.name.clone(), command }));
    }
}
