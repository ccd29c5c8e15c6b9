//! The files of named namespaces: mounts, as `ip netns` makes them, in folders whose mounts the whole host sees.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde::{Deserialize, Serialize};

use super::error::PreparedError;

/// A folder of namespaces, and how much of it we made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Holder {
    pub(super) path: PathBuf,
    /// We made it.
    made: bool,
    /// We made it a mount point.
    mounted: bool,
}

impl Holder {
    /// Makes the folder, and makes it a mount point whose mounts propagate to the whole host. Otherwise a service with
    /// private mounts would keep a namespace alive.
    pub(super) fn make(path: &Path) -> Result<Self, PreparedError> {
        let failed = PreparedError::at("make the folder", path);
        let made = make_folder(path).map_err(&failed)?;
        let mounted = match share(path) {
            Err(Errno::EINVAL) => {
                let itself = mount(Some(path), path, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>);
                itself.and_then(|()| share(path)).map_err(|errno| failed(errno.into()))?;
                true
            }
            shared => shared.map(|()| false).map_err(|errno| failed(errno.into()))?,
        };
        Ok(Self { path: path.to_owned(), made, mounted })
    }

    /// Undoes what we made of it, unless it has entries.
    pub(super) fn remove(&self) -> Result<(), PreparedError> {
        let failed = |source| PreparedError::at("remove the folder", &self.path)(source);
        match fs::read_dir(&self.path).map(|mut entries| entries.next().is_some()) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        if self.mounted {
            unmount(&self.path).map_err(failed)?;
        }
        if self.made { ignore_absent(fs::remove_dir(&self.path)).map_err(failed) } else { Ok(()) }
    }
}

/// Makes a folder that all users can enter and only root can change, whatever the umask. Returns whether it is new.
pub(super) fn make_folder(path: &Path) -> io::Result<bool> {
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(0o755)).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn share(path: &Path) -> nix::Result<()> {
    mount(None::<&str>, path, None::<&str>, MsFlags::MS_SHARED | MsFlags::MS_REC, None::<&str>)
}

/// Mounts a namespace on a new file.
pub(super) fn hold(namespace: BorrowedFd<'_>, file: &Path) -> Result<(), PreparedError> {
    let failed = PreparedError::at("make", file);
    // Without permissions, so that no program reads the file itself.
    OpenOptions::new().write(true).create_new(true).mode(0o000).open(file).map_err(&failed)?;
    let descriptor = format!("/proc/self/fd/{}", namespace.as_raw_fd());
    mount(Some(descriptor.as_str()), file, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .map_err(|errno| failed(errno.into()))
}

/// Removes the file of a namespace. An absent one is no error. Only the empty file that `hold` makes is removed; any other
/// file is foreign.
pub(super) fn release(file: &Path) -> Result<(), PreparedError> {
    let remove = || {
        unmount(file)?;
        let found = match fs::symlink_metadata(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found?,
        };
        if !found.is_file() || found.len() > 0 {
            return Err(io::Error::other("another file is in its place"));
        }
        ignore_absent(fs::remove_file(file))
    };
    remove().map_err(PreparedError::at("remove", file))
}

fn unmount(path: &Path) -> io::Result<()> {
    match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
        // It is not a mount, or does not exist.
        Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
        unmounted => Ok(unmounted?),
    }
}

/// An absent file counts as removed.
pub(super) fn ignore_absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_the_empty_file_that_held_a_namespace_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, precious) = (folder.path().join("netns"), folder.path().join("precious"));
        release(&file).unwrap();
        fs::write(&precious, "").unwrap();
        symlink(&precious, &file).unwrap();
        release(&file).unwrap_err();
        assert!(file.is_symlink() && precious.exists());
        fs::remove_file(&file).unwrap();
        fs::write(&file, "precious").unwrap();
        release(&file).unwrap_err();
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }
}
