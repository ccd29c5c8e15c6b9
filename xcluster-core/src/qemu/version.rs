//! Finds QEMU and checks its version.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::process::find_program;
use crate::error_chain;

/// The oldest QEMU that is known to work: the first in which `-chardev socket,fd=`, `-accel` and `-display none` work as they
/// are used here. It is the version of Debian 11.
pub const OLDEST: Version = Version { major: 5, minor: 2 };

/// The deadline for `--version`.
const LIMIT: Duration = Duration::from_secs(10);

/// A version of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The number before the point.
    pub major: u32,
    /// The number after the point.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A QEMU program that is new enough.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// Its path.
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
    /// The first line of `--version`, which differs between builds of the same version.
    pub banner: String,
}

/// Why QEMU cannot be used.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum QemuError {
    /// The program does not exist.
    #[error("program `{}` not found", .0.display())]
    Missing(PathBuf),
    /// The program does not print its version.
    #[error("`{} --version` {how}", .path.display())]
    Silent {
        /// The program.
        path: PathBuf,
        /// What it did instead.
        how: String,
    },
    /// The version is too old.
    #[error("`{}` is QEMU {found}, and at least {OLDEST} is needed", .path.display())]
    TooOld {
        /// The program.
        path: PathBuf,
        /// Its version.
        found: Version,
    },
    /// The program cannot be run.
    #[error("cannot run `{}`", .path.display())]
    Io {
        /// The program.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

error_chain::readable_debug!(QemuError);

/// Finds QEMU and asks for its version.
///
/// # Errors
/// The program does not exist, is too old, or does not print a version of QEMU within 10 s.
pub async fn find(program: &Path) -> Result<Qemu, QemuError> {
    let path = find_program(program).ok_or_else(|| QemuError::Missing(program.to_owned()))?;
    let run = Command::new(&path).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
    let silent = |how: String| QemuError::Silent { path: path.clone(), how };
    let output = timeout(LIMIT, run).await.map_err(|_| silent(format!("timed out after {} s", LIMIT.as_secs())))?;
    let output = output.map_err(|source| QemuError::Io { path: path.clone(), source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let banner = text.lines().next().unwrap_or_default().to_owned();
    let version =
        parse(&banner).ok_or_else(|| silent(format!("printed `{banner}`, which is not a version of QEMU")))?;
    if version < OLDEST {
        return Err(QemuError::TooOld { path, found: version });
    }
    Ok(Qemu { path, version, banner })
}

fn parse(banner: &str) -> Option<Version> {
    let number = banner.strip_prefix("QEMU emulator version ")?.split(' ').next()?;
    let mut parts = number.split('.').map(|part| part.parse().ok());
    Some(Version { major: parts.next()??, minor: parts.next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_banner() {
        let version = parse("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)");
        assert_eq!(version, Some(Version { major: 7, minor: 2 }));
        for banner in ["", "QEMU", "QEMU emulator version", "QEMU emulator version x.y", "qemu-img version 7.2"] {
            assert_eq!(parse(banner), None, "{banner}");
        }
    }
}
