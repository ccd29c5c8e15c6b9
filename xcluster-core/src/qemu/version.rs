//! Which QEMU this is, and whether it is new enough.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::process::find_program;

/// The oldest QEMU that is known to work: the first with `-chardev socket,fd=`, `-accel` and `-display none` all as they
/// are used here, and the one of Debian 11.
pub const OLDEST: Version = Version { major: 5, minor: 2 };

/// How long `--version` may take.
const LIMIT: Duration = Duration::from_secs(10);

/// A version of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Before the point.
    pub major: u32,
    /// After it.
    pub minor: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A QEMU that was found and is new enough.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// Where it is.
    pub path: PathBuf,
    /// Its version.
    pub version: Version,
    /// Its first line about itself, which tells apart builds of one version.
    pub banner: String,
}

/// Why there is no QEMU to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QemuError {
    /// There is none.
    #[error("there is no program `{}`", .0.display())]
    Missing(PathBuf),
    /// It does not say which version it is.
    #[error("`{} --version` {how}", .path.display())]
    Silent {
        /// The program.
        path: PathBuf,
        /// What it did instead.
        how: String,
    },
    /// It is too old.
    #[error("`{}` is QEMU {found}; at least {OLDEST} is needed", .path.display())]
    TooOld {
        /// The program.
        path: PathBuf,
        /// Its version.
        found: Version,
    },
    /// It cannot be run.
    #[error("cannot run `{}`", .path.display())]
    Io {
        /// The program.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// Finds QEMU and asks for its version.
///
/// # Errors
/// There is none, it is too old, or it does not behave like a QEMU.
pub async fn find(program: &Path) -> Result<Qemu, QemuError> {
    let path = find_program(program).ok_or_else(|| QemuError::Missing(program.to_owned()))?;
    let run = Command::new(&path).arg("--version").stdin(Stdio::null()).kill_on_drop(true).output();
    let silent = |how: String| QemuError::Silent { path: path.clone(), how };
    let output = timeout(LIMIT, run).await.map_err(|_| silent(format!("did not end within {} s", LIMIT.as_secs())))?;
    let output = output.map_err(|source| QemuError::Io { path: path.clone(), source })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let banner = text.lines().next().unwrap_or_default().to_owned();
    let version = parse(&banner).ok_or_else(|| silent(format!("says `{banner}`, which names no version of QEMU")))?;
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
