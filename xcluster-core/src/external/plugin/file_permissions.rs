//! Checks whether a file may be loaded into this process: only root and the process's user may be able to change or replace
//! it. Opens the file once, and does not load it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::Uid;

use super::error::PluginError;

/// Write permission for the group and for others (inode(7)).
const OTHERS_WRITE: u32 = 0o022;
/// In a folder with this bit, only the owner of a file may remove or rename it.
const STICKY: u32 = 0o1000;
/// The user ID of files whose owner a user namespace does not map: `/proc/sys/kernel/overflowuid`.
const OVERFLOW: u32 = 65534;

/// A file that was checked.
#[derive(Debug)]
pub(super) struct CheckedFile {
    pub(super) file: File,
    /// Its path, with links resolved.
    pub(super) path: PathBuf,
}

/// Opens a file that may be loaded.
///
/// # Errors
/// It does not exist, is not a regular file, or another user could change it: all problems at once.
pub(super) fn open(path: &Path) -> Result<CheckedFile, PluginError> {
    let failed = |source| PluginError::Open { path: path.to_owned(), source };
    let real = path.canonicalize().map_err(failed)?;
    // Opening something other than a file may block. And a file may have become a link since it was checked.
    let how = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(how).open(&real).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        let why = if meta.is_dir() { "it is a folder" } else { "it is no file" };
        return Err(PluginError::Unfit { path: path.to_owned(), why: why.to_owned() });
    }
    let users = TrustedUsers::here();
    let mut faults = Faults::default();
    faults.judge(&real, users, meta.uid(), meta.mode(), false);
    faults.judge_folders(&real, users).map_err(failed)?;
    // The given path may lead through a folder in which another user can replace a link.
    faults.judge_folders(&std::path::absolute(path).map_err(failed)?, users).map_err(failed)?;
    match faults.why.is_empty() {
        true => Ok(CheckedFile { file, path: real }),
        false => Err(PluginError::Unsafe { path: path.to_owned(), remedy: faults.remedy(), why: faults.why }),
    }
}

/// The owners that are trusted.
#[derive(Debug, Clone, Copy)]
struct TrustedUsers {
    us: u32,
    /// In a user namespace without root, files of root have the same owner as those of all unmapped users.
    overflow: bool,
}

impl TrustedUsers {
    fn here() -> Self {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let knows_root = map.lines().any(|line| line.split_whitespace().next() == Some("0"));
        Self { us: Uid::effective().as_raw(), overflow: !knows_root }
    }

    fn trusts(self, owner: u32) -> bool {
        owner == 0 || owner == self.us || (self.overflow && owner == OVERFLOW)
    }
}

#[derive(Debug, Default)]
struct Faults {
    why: Vec<String>,
    writable: Vec<PathBuf>,
    /// Whether a problem is an owner, which a change of the mode cannot solve.
    foreign: bool,
}

impl Faults {
    fn judge(&mut self, path: &Path, users: TrustedUsers, owner: u32, mode: u32, sticky_is_fine: bool) {
        if !users.trusts(owner) {
            self.foreign = true;
            self.add(format!("`{}` belongs to user {owner}", path.display()));
        }
        if mode & OTHERS_WRITE != 0
            && !(sticky_is_fine && mode & STICKY != 0)
            && self.writable.iter().all(|p| p != path)
        {
            self.add(format!("others can write to `{}` (mode {:04o})", path.display(), mode & 0o7777));
            self.writable.push(path.to_owned());
        }
    }

    /// Checks the folders above a file: in its own, other users must not add files; further up, they must not replace
    /// folders.
    fn judge_folders(&mut self, file: &Path, users: TrustedUsers) -> io::Result<()> {
        for (height, folder) in file.ancestors().skip(1).enumerate() {
            let meta = folder.metadata()?;
            self.judge(folder, users, meta.uid(), meta.mode(), height > 0);
        }
        Ok(())
    }

    fn add(&mut self, why: String) {
        if !self.why.contains(&why) {
            self.why.push(why);
        }
    }

    fn remedy(&self) -> Option<String> {
        let paths: Vec<String> = self.writable.iter().map(|path| path.display().to_string()).collect();
        (!self.foreign && !paths.is_empty()).then(|| format!("chmod go-w {}", paths.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn check(prepare: impl FnOnce(&Path), expected: &str, remedy: bool) {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        chmod(&inner, 0o755);
        let file = inner.join("plugin.so");
        fs::write(&file, "x").unwrap();
        chmod(&file, 0o644);
        prepare(&inner);
        match open(&file) {
            Ok(trusted) => assert_eq!((trusted.path.ends_with("plugin.so"), expected), (true, "")),
            Err(error) => {
                let said = crate::error_chain::one_line(&error);
                assert!(!expected.is_empty() && said.contains(expected), "{said}");
                assert_eq!(error.remedy().is_some(), remedy, "{said}");
            }
        }
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_only_we_can_change_is_trusted() {
        check(|_| {}, "", false);
    }

    #[test]
    fn what_others_can_write_to_is_not() {
        check(|inner| chmod(&inner.join("plugin.so"), 0o664), "others can write to `", true);
        check(|inner| chmod(&inner.join("plugin.so"), 0o646), "(mode 0646)", true);
        check(|inner| chmod(inner, 0o777), "inner` (mode 0777)", true);
        check(|inner| chmod(inner, 0o1777), "inner` (mode 1777)", true);
        check(|inner| chmod(inner.parent().unwrap(), 0o777), "(mode 0777)", true);
        check(|inner| chmod(inner.parent().unwrap(), 0o1777), "", false);
    }

    #[test]
    fn what_is_no_file_is_reported_and_does_not_block() {
        let replaced = |make: fn(&Path)| {
            move |inner: &Path| {
                let file = inner.join("plugin.so");
                fs::remove_file(&file).unwrap();
                make(&file);
            }
        };
        check(replaced(|_| {}), "No such file", false);
        check(replaced(|file| fs::create_dir(file).unwrap()), "it is a folder", false);
        let fifo = |file: &Path| nix::unistd::mkfifo(file, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
        check(replaced(fifo), "it is no file", false);
    }

    #[test]
    fn a_link_is_as_good_as_both_its_ends() {
        let moved = |mode: u32| {
            move |inner: &Path| {
                let elsewhere = inner.parent().unwrap().join("elsewhere");
                fs::create_dir(&elsewhere).unwrap();
                chmod(&elsewhere, mode);
                fs::rename(inner.join("plugin.so"), elsewhere.join("plugin.so")).unwrap();
                std::os::unix::fs::symlink(elsewhere.join("plugin.so"), inner.join("plugin.so")).unwrap();
            }
        };
        check(moved(0o755), "", false);
        check(moved(0o777), "elsewhere` (mode 0777)", true);
    }

    #[test]
    fn a_stranger_is_nobody_whom_we_trust() {
        let users = TrustedUsers { us: 1000, overflow: false };
        assert!(users.trusts(0) && users.trusts(1000) && !users.trusts(1001) && !users.trusts(OVERFLOW));
        let mut faults = Faults::default();
        faults.judge(Path::new("/x"), users, 1001, 0o755, false);
        assert_eq!(
            (faults.why.as_slice(), faults.remedy()),
            (["`/x` belongs to user 1001".to_owned()].as_slice(), None)
        );
        assert!(TrustedUsers { us: 1000, overflow: true }.trusts(OVERFLOW));
    }
}
