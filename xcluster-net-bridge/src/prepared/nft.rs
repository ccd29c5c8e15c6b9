//! Runs the program `nft` in a namespace. `firewall` makes the rules.

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use xcluster_core::host::Namespace;
use xcluster_core::host::namespace::NamespaceEntry;

use super::error::{Obstacle, PreparedError};
use super::firewall::Ruleset;

/// The deadline. It takes 10 ms, but the host may be busy.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Its folders where `PATH` lacks them.
const ELSEWHERE: [&str; 2] = ["/usr/sbin", "/sbin"];

/// The path of the program, if it is installed.
pub(super) fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(ELSEWHERE.map(PathBuf::from));
    folders.map(|folder| folder.join("nft")).find(|program| program.is_file())
}

/// Runs a script, all or nothing. `action` describes it for errors.
pub(super) async fn apply(script: &str, namespace: &Namespace, action: &str) -> Result<(), PreparedError> {
    run(&["-f", "-"], script, namespace, action).await.map(drop)
}

/// All rules of a namespace.
pub(super) async fn ruleset(namespace: &Namespace) -> Result<Ruleset, PreparedError> {
    let action = "list the rules";
    let text = run(&["-j", "list", "ruleset"], "", namespace, action).await?;
    Ruleset::parse(&text).map_err(|error| refused(action, error.to_string()))
}

async fn run(args: &[&str], input: &str, namespace: &Namespace, action: &str) -> Result<String, PreparedError> {
    let program = program().ok_or_else(|| PreparedError::Obstacles(vec![Obstacle::NoNft]))?;
    let failed = |source| PreparedError::Io { action: format!("run `{}`", program.display()), source };
    let mut command = std::process::Command::new(&program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Only the network namespace is entered: root has every privilege in users' namespaces, and needs its own user namespace
    // to read libraries.
    if let Some((_, net)) = namespace.descriptors() {
        NamespaceEntry::new(None, net.try_clone_to_owned().map_err(failed)?).enter(&mut command);
    }
    let mut child = Command::from(command).kill_on_drop(true).spawn().map_err(failed)?;
    let stdin = child.stdin.take();
    let talk = async {
        if let Some(mut stdin) = stdin {
            stdin.write_all(input.as_bytes()).await?;
        }
        child.wait_with_output().await
    };
    let late = |_| failed(io::ErrorKind::TimedOut.into());
    let output = tokio::time::timeout(TIMEOUT, talk).await.map_err(late)?.map_err(failed)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(refused(action, String::from_utf8_lossy(&output.stderr).trim_end().to_owned()))
}

fn refused(action: &str, said: String) -> PreparedError {
    PreparedError::Nft { action: action.to_owned(), said }
}
