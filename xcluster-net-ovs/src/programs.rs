//! The programs of Open vSwitch: finding them, checking their version, and running one.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::libc::SIGALRM;
use tokio::time::timeout;
use xcluster_core::host::end_with_thread;
use xcluster_core::net::NetError;

use crate::config::{Instance, OvsConfig};
use crate::error::{self, SwitchError};

/// The oldest version: the first with protected ports (`protected` of ovs-vswitchd.conf.db(5)). Without them, frames would
/// circle between three hosts with tunnels to each other.
const OLDEST: (u32, u32) = (2, 10);

/// The deadline of a program on a busy host. Their own timeout comes first.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(40);

/// The programs' own timeout in seconds: `--timeout`.
pub(crate) const VSCTL_TIMEOUT_SECS: u64 = 30;

/// A folder that is not in ordinary users' `PATH`.
const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/sbin", "/sbin"];

/// The programs for a private instance, in the order in which a start uses them, and for the host's.
const OF_PRIVATE: [&str; 5] = [VSWITCHD, TOOL, SERVER, VSCTL, OFCTL];
const OF_SYSTEM: [&str; 2] = [VSCTL, OFCTL];

pub(crate) const VSWITCHD: &str = "ovs-vswitchd";
pub(crate) const TOOL: &str = "ovsdb-tool";
pub(crate) const SERVER: &str = "ovsdb-server";
pub(crate) const VSCTL: &str = "ovs-vsctl";
pub(crate) const OFCTL: &str = "ovs-ofctl";

/// The paths of the programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Programs {
    folders: Vec<PathBuf>,
}

impl Programs {
    /// Finds those that a configuration needs.
    pub(crate) fn find(config: &OvsConfig) -> Result<Self, NetError> {
        let programs = Self { folders: folders(config) };
        let wanted: &[&str] = if config.instance == Instance::Private { &OF_PRIVATE } else { &OF_SYSTEM };
        let missing: Vec<&str> = wanted.iter().copied().filter(|name| !is_program(&programs.path(name))).collect();
        if missing.is_empty() { Ok(programs) } else { Err(error::missing(&missing, wanted.len())) }
    }

    /// The path of a program.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let found = self.folders.iter().map(|folder| folder.join(name)).find(|path| is_program(path));
        found.unwrap_or_else(|| PathBuf::from(name))
    }

    /// A command for the program, with a `PATH` that has the others.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path(name));
        if let Ok(path) = std::env::join_paths(&self.folders) {
            command.env("PATH", path);
        }
        command
    }

    /// Checks that they are new enough.
    pub(crate) async fn check_version(&self, instance: Instance) -> Result<(), NetError> {
        let program = if instance == Instance::Private { VSWITCHD } else { VSCTL };
        let mut command = self.command(program);
        command.arg("--version");
        let said = run(program, command).await.map_err(NetError::from)?;
        match version(&said) {
            Some(version) if version >= OLDEST => Ok(()),
            Some(version) => Err(error::too_old(version, OLDEST)),
            None => Err(error::no_version(program, &said)),
        }
    }
}

fn folders(config: &OvsConfig) -> Vec<PathBuf> {
    if let Some(folder) = &config.programs {
        return vec![folder.clone()];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let absolute = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect::<Vec<_>>();
    absolute.into_iter().chain(FOLDERS.map(PathBuf::from)).collect()
}

fn is_program(path: &Path) -> bool {
    use nix::unistd::{AccessFlags, access};
    path.is_file() && access(path, AccessFlags::X_OK).is_ok()
}

/// `ovs-vswitchd (Open vSwitch) 3.1.0`, perhaps followed by lines about libraries.
fn version(said: &str) -> Option<(u32, u32)> {
    let (_, after) = said.lines().next()?.split_once("(Open vSwitch) ")?;
    let mut numbers = after.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Runs a program, and returns its output. The program ends with the calling thread, at the latest.
pub(crate) async fn run(name: &str, mut command: Command) -> Result<String, SwitchError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    end_with_thread(&mut command);
    let failed = |source| SwitchError::NotRun { program: name.to_owned(), source };
    let child = tokio::process::Command::from(command).kill_on_drop(true).spawn().map_err(failed)?;
    let late = |_| SwitchError::Late { program: name.to_owned(), seconds: TIMEOUT.as_secs() };
    let output = timeout(TIMEOUT, child.wait_with_output()).await.map_err(late)?.map_err(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else if output.status.signal() == Some(SIGALRM) {
        // Ended by its own `--timeout`: the process that it waited for does not react, and would not for the next program.
        Err(SwitchError::Late { program: name.to_owned(), seconds: VSCTL_TIMEOUT_SECS })
    } else {
        let said = error::said(&text(&output.stderr), name).unwrap_or_else(|| output.status.to_string());
        Err(SwitchError::Refused { program: name.to_owned(), said })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_in_the_first_line() {
        assert_eq!(version("ovs-vswitchd (Open vSwitch) 3.1.0\nDPDK 22.11"), Some((3, 1)));
        assert_eq!(version("ovs-vsctl (Open vSwitch) 2.17.9\nDB Schema 8.3.0"), Some((2, 17)));
        assert_eq!(version("busybox"), None);
    }
}
