//! `ssh`: OpenSSH, with what it must know of nodes that are made anew with every start.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::Outcome;
use super::attach::{address, attach, one};
use crate::args::SshArgs;
use crate::exit::Exit;
use crate::report::Failure;
use crate::variables::Variables;

/// The port of ssh in a node.
const SSH: u16 = 22;

/// Becomes ssh, so that its exit code and everything else are its own.
pub(super) async fn run(args: &SshArgs, variables: &Variables) -> Outcome {
    let status = attach(&args.name, variables).await?.status().await?;
    let address = address(one(&args.node, &status)?, SSH, "ssh", &status)?;
    let error = Command::new("ssh").args(words(address, &args.login, &args.command)).exec();
    let failure = Failure::io("run `ssh`", &error).with_exit(Exit::HOST);
    Err(failure.hint("`sudo apt-get install openssh-client`, or use `xcluster vm` or `xcluster exec`"))
}

/// The words after `ssh`. A host key that is neither known nor kept: the next start has another one on the same port.
fn words(address: SocketAddr, login: &str, command: &[OsString]) -> Vec<OsString> {
    const OPTIONS: [&str; 4] = [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        // Else it would tell that the key was added to the list, which is thrown away.
        "LogLevel=ERROR",
    ];
    let options = OPTIONS.into_iter().flat_map(|option| ["-o", option]).map(OsString::from);
    let target = ["-p".into(), address.port().to_string().into(), "-l".into(), login.into()];
    let host = ["--".into(), address.ip().to_string().into()];
    options.chain(target).chain(host).chain(command.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_goes_to_the_forwarded_port_and_remembers_nothing() {
        let words = words("127.0.0.1:12302".parse().unwrap(), "root", &["ip".into(), "-br".into()]);
        let words: Vec<&str> = words.iter().map(|word| word.to_str().unwrap()).collect();
        insta::assert_snapshot!(words.join(" "));
    }
}
