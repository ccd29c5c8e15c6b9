//! The folder with the artifacts of one test. Only files of the names that are written here are replaced or removed, and no link
//! is followed: the folder may be anywhere, and may have other files in it.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use crate::host::{Access, DirError, PrivateDir};

/// The file that ends a pause.
pub(super) const CONTINUE: &str = "continue";
/// How the test ended, the times, and the states of the nodes.
pub(super) const RESULT: &str = "result.txt";
/// The plan of the cluster.
pub(super) const PLAN: &str = "plan.txt";
/// The events, with their times.
pub(super) const EVENTS: &str = "events.txt";
/// What follows a node's name in the name of the file with its console.
pub(super) const CONSOLE: &str = ".console.txt";
/// What follows a node's name in the name of the file with QEMU's messages.
pub(super) const QEMU: &str = ".qemu.txt";

/// How long the name of a folder may be, in bytes. Linux has 255.
const NAME_MAX: usize = 200;

/// Artifacts could not be written or removed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`: {source}", path.display())]
pub(super) struct ArtifactsError {
    action: &'static str,
    path: PathBuf,
    source: DirError,
}

/// The folder of a test.
pub(super) struct Artifacts {
    base: PathBuf,
    name: String,
}

impl Artifacts {
    pub(super) fn new(base: &Path, test: &str) -> Self {
        Self { base: base.to_owned(), name: path_name(test) }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.base.join(&self.name)
    }

    /// Removes what an earlier run of the test has written, and the folder if nothing else is in it.
    pub(super) fn clear(&self) -> Result<(), ArtifactsError> {
        let failed = |source| ArtifactsError { action: "remove old artifacts from", path: self.path(), source };
        let opened = PrivateDir::open_at_link(&self.base, Access::Read)
            .and_then(|base| Ok((base.child(OsStr::new(&self.name), Access::Read)?, base)));
        let (folder, base) = match opened {
            Ok(opened) => opened,
            Err(DirError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        };
        for name in folder.names().map_err(|error| failed(error.into()))? {
            let name = OsStr::from_bytes(name.as_bytes());
            // A file, and no folder or link of that name.
            if is_ours(name) && folder.open_file(name, OFlag::empty()).is_ok() {
                folder.remove(name).map_err(|error| failed(error.into()))?;
            }
        }
        // Other files keep it.
        let _ = base.remove_child(OsStr::new(&self.name), &folder);
        Ok(())
    }

    /// Writes files, in place of those of the same names.
    ///
    /// # Errors
    /// The first that could not be written; the others are.
    pub(super) fn write(&self, files: &[(String, String)]) -> Result<(), ArtifactsError> {
        let failed = |path: PathBuf, source| ArtifactsError { action: "write", path, source };
        let opened = PrivateDir::make(&self.base)
            .and_then(|()| PrivateDir::open_at_link(&self.base, Access::Read))
            .and_then(|base| base.make_child(OsStr::new(&self.name)));
        let folder = opened.map_err(|error| failed(self.path(), error))?;
        let mut outcome = Ok(());
        for (name, text) in files {
            let written = folder
                .open_file(OsStr::new(name), OFlag::O_CREAT | OFlag::O_TRUNC)
                .and_then(|mut file| Ok(file.write_all(text.as_bytes())?));
            outcome = outcome.and(written.map_err(|error| failed(self.path().join(name), error)));
        }
        outcome
    }
}

/// Whether this is the name of a file that a test run writes, or reads to end a pause.
fn is_ours(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    let of_node = |suffix| name.strip_suffix(suffix).is_some_and(|node| node.starts_with("vm-"));
    [RESULT, PLAN, EVENTS, CONTINUE].contains(&name) || of_node(CONSOLE) || of_node(QEMU)
}

/// A test's name as the name of a folder: `a::b` becomes `a.b`. A name that is too long is cut, and gets a hash that keeps it
/// apart from others.
fn path_name(test: &str) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = test.replace("::", ".").chars().map(safe).collect();
    let name = name.trim_start_matches('.');
    if name.is_empty() {
        return "test".to_owned();
    }
    if name.len() <= NAME_MAX {
        return name.to_owned();
    }
    let mut hasher = DefaultHasher::new();
    test.hash(&mut hasher);
    format!("{}-{:016x}", &name[..NAME_MAX], hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tests_name_is_safe_for_a_path() {
        assert_eq!(path_name("my-package::vms::nodes ping/pong"), "my-package.vms.nodes_ping_pong");
        assert_eq!(path_name("../../etc"), "_.._etc");
        assert_eq!(path_name("::"), "test");
        let (long, longer) = ("x".repeat(300), "x".repeat(301));
        assert!(path_name(&long).len() < 255 && path_name(&long) != path_name(&longer));
    }
}
