//! A folder that belongs to this user alone, used through its descriptor. No link, mount or renamed folder can lead a removal
//! elsewhere.

use std::ffi::{CStr, CString, OsStr};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{Uid, UnlinkatFlags, unlinkat};

use crate::error_chain;

/// Opens folders only, and never through a link.
const AS_ITSELF: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// The deepest nesting of folders that are removed: each level takes a descriptor and stack.
const DEPTH_MAX: u32 = 128;

/// The mode for the user alone.
const PRIVATE: Mode = Mode::S_IRWXU;

/// Why a folder or file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirError {
    /// Using it could change or expose files of others.
    #[error("{0}")]
    Unsafe(Fault),
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<Errno> for DirError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::ELOOP => Self::Unsafe(Fault::Link),
            Errno::ENOTDIR => Self::Unsafe(Fault::NoFolder),
            Errno::EXDEV => Self::Unsafe(Fault::Mount),
            errno => Self::Io(errno.into()),
        }
    }
}

/// Why a folder or file is unsafe to use.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A symbolic link.
    #[error("it is a symbolic link")]
    Link,
    /// Not a folder, where one is expected.
    #[error("it is not a folder")]
    NoFolder,
    /// Not a file, where one is expected.
    #[error("it is not a regular file with one name")]
    NoFile,
    /// A folder in the cache has no manifest.
    #[error("it is not an image that was built here")]
    NoEntry,
    /// A mount point: of another file system, or of another part of this one.
    #[error("it is a mount point")]
    Mount,
    /// It belongs to another user.
    #[error("it belongs to user {0}")]
    Owner(u32),
    /// Its mode gives others access.
    #[error("other users have access to it (mode {0:04o})")]
    Mode(u32),
}

error_chain::readable_debug!(Fault);

/// The modes of a folder that are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Other users must have no access.
    None,
    /// Other users may read it.
    Read,
}

impl Access {
    fn forbidden(self) -> u32 {
        match self {
            Self::None => 0o077,
            Self::Read => 0o022,
        }
    }
}

/// A private folder that is open.
#[derive(Debug)]
pub(crate) struct PrivateDir {
    fd: OwnedFd,
    path: PathBuf,
}

impl PrivateDir {
    /// Opens a folder.
    ///
    /// # Errors
    /// It does not exist, is a link, belongs to another user, or other users have too much access.
    pub(crate) fn open(path: &Path, others: Access) -> Result<Self, DirError> {
        Self::check(
            open(path, AS_ITSELF, Mode::empty()).map_err(|errno| opened_link(AT_FDCWD, path, errno))?,
            path,
            others,
        )
    }

    /// Opens a folder, also through a link: the user chose the place, such as a cache on another disk.
    pub(crate) fn open_at_link(path: &Path, others: Access) -> Result<Self, DirError> {
        Self::check(open(path, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?, path, others)
    }

    /// Makes a folder that only this user can enter, and its parents, unless they exist.
    pub(crate) fn make(path: &Path) -> Result<(), DirError> {
        Ok(DirBuilder::new().mode(PRIVATE.bits()).recursive(true).create(path)?)
    }

    /// Opens a folder in this one. Refuses a mount point, also one of the same file system.
    pub(crate) fn child(&self, name: &OsStr, others: Access) -> Result<Self, DirError> {
        Self::check(open_child(&self.fd, &c_name(name)?)?, &self.path.join(name), others)
    }

    /// Makes a folder in this one, unless the name exists, and opens it.
    pub(crate) fn make_child(&self, name: &OsStr) -> Result<Self, DirError> {
        match mkdirat(&self.fd, name, PRIVATE) {
            Ok(()) | Err(Errno::EEXIST) => self.child(name, Access::None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn check(fd: OwnedFd, path: &Path, others: Access) -> Result<Self, DirError> {
        judge(&fstat(&fd)?, others.forbidden())?;
        Ok(Self { fd, path: path.to_owned() })
    }

    /// The path that it was opened by.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the folder again, to lock it: copies of one descriptor share its lock.
    pub(crate) fn reopen(&self) -> io::Result<File> {
        Ok(File::from(openat(&self.fd, ".", AS_ITSELF, Mode::empty())?))
    }

    /// The names in it, in no order.
    pub(crate) fn names(&self) -> io::Result<Vec<CString>> {
        names(&self.fd)
    }

    /// Opens a file of this user in it, to read and write. `flags` may be `O_CREAT`, `O_EXCL`, `O_TRUNC` or `O_APPEND`. A
    /// file is truncated only after it was checked.
    ///
    /// # Errors
    /// It is a link, has a second name, is not a regular file, or belongs to another user.
    pub(crate) fn open_file(&self, name: &OsStr, flags: OFlag) -> Result<File, DirError> {
        // Opening a FIFO or a device must not block.
        let always = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let fd = openat(&self.fd, name, always | flags.difference(OFlag::O_TRUNC), Mode::S_IRUSR | Mode::S_IWUSR);
        let file = File::from(fd?);
        let found = file.metadata()?;
        if !found.is_file() || found.nlink() > 1 {
            return Err(DirError::Unsafe(Fault::NoFile));
        }
        if found.uid() != Uid::effective().as_raw() {
            return Err(DirError::Unsafe(Fault::Owner(found.uid())));
        }
        if flags.contains(OFlag::O_TRUNC) {
            file.set_len(0)?;
        }
        Ok(file)
    }

    /// Renames a file, over one that has the new name.
    pub(crate) fn rename(&self, name: &OsStr, new: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.fd, name, &self.fd, new)?)
    }

    /// Whether `name` in this folder is this open file.
    pub(crate) fn has(&self, name: &OsStr, file: &File) -> bool {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|there| is_same(&there, file.as_fd()))
    }

    /// Removes a file, or a folder with all that is in it. Mounted folders stay, and so do the folders above them. Links are
    /// removed and not followed.
    ///
    /// # Errors
    /// Something could not be removed; the rest is gone.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        remove_at(&self.fd, &c_name(name)?, 0)
    }

    /// Removes everything in this folder except `kept`.
    ///
    /// # Errors
    /// Something could not be removed; the rest is gone.
    pub(crate) fn empty(&self, kept: Option<&OsStr>) -> io::Result<()> {
        let mut failed = Ok(());
        for name in self.names()? {
            if kept.is_none_or(|kept| kept.as_bytes() != name.as_bytes()) {
                failed = failed.and(remove_at(&self.fd, &name, 0));
            }
        }
        failed
    }

    /// Removes an empty folder in this one, if it is `child` and not another folder of that name.
    pub(crate) fn remove_child(&self, name: &OsStr, child: &Self) -> io::Result<()> {
        let there = fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if !is_same(&there, &child.fd) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "another folder has come in its place"));
        }
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir)?)
    }
}

/// Checks that other users have no access.
fn judge(found: &FileStat, forbidden: u32) -> Result<(), DirError> {
    let mode = found.st_mode & 0o7777;
    if found.st_uid != Uid::effective().as_raw() {
        Err(DirError::Unsafe(Fault::Owner(found.st_uid)))
    } else if mode & forbidden != 0 {
        Err(DirError::Unsafe(Fault::Mode(mode)))
    } else {
        Ok(())
    }
}

/// Opens a folder of a folder, which must be neither a link nor a mount point.
fn open_child(parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, DirError> {
    let how = OpenHow::new().flags(AS_ITSELF).resolve(ResolveFlag::RESOLVE_NO_XDEV | ResolveFlag::RESOLVE_BENEATH);
    match openat2(parent, name, how) {
        // Old kernels lack the call, and some containers forbid it. Then only other file systems are noticed.
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let fd =
                openat(parent, name, AS_ITSELF, Mode::empty()).map_err(|errno| opened_link(parent, name, errno))?;
            if fstat(&fd)?.st_dev == fstat(parent)?.st_dev { Ok(fd) } else { Err(DirError::Unsafe(Fault::Mount)) }
        }
        opened => opened.map_err(|errno| opened_link(parent, name, errno)),
    }
}

/// The kernel reports a link as "not a folder".
fn opened_link<P: ?Sized + nix::NixPath>(parent: impl AsFd, name: &P, errno: Errno) -> DirError {
    let is_link = |found: FileStat| SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT == SFlag::S_IFLNK;
    match errno {
        Errno::ENOTDIR if fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(is_link) => {
            DirError::Unsafe(Fault::Link)
        }
        errno => errno.into(),
    }
}

fn is_same(there: &FileStat, open: impl AsFd) -> bool {
    fstat(open).is_ok_and(|open| (open.st_dev, open.st_ino) == (there.st_dev, there.st_ino))
}

fn c_name(name: &OsStr) -> io::Result<CString> {
    Ok(CString::new(name.as_bytes())?)
}

fn names(folder: &OwnedFd) -> io::Result<Vec<CString>> {
    // Opened again, because copies of a descriptor share the position in the folder.
    let mut entries = Dir::openat(folder, ".", AS_ITSELF, Mode::empty())?;
    let names = entries.iter().map(|entry| Ok(entry?.file_name().to_owned()));
    names
        .filter(|name: &io::Result<CString>| !matches!(name.as_ref().map(|n| n.to_bytes()), Ok(b"." | b"..")))
        .collect()
}

fn remove_at(parent: &OwnedFd, name: &CStr, depth: u32) -> io::Result<()> {
    let folder = match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        // unlink(2): for a folder, Linux returns EISDIR, and POSIX has EPERM.
        Err(Errno::EISDIR | Errno::EPERM) => match open_child(parent, name) {
            Ok(folder) => folder,
            Err(DirError::Io(error)) => return Err(error),
            Err(fault) => return Err(io::Error::other(fault)),
        },
        Err(errno) => return Err(errno.into()),
    };
    if depth == DEPTH_MAX {
        return Err(io::Error::other(format!("its folders are nested more than {DEPTH_MAX} deep")));
    }
    let mut failed = Ok(());
    for inner in names(&folder)? {
        failed = failed.and(remove_at(&folder, &inner, depth + 1));
    }
    failed?;
    Ok(unlinkat(parent, name, UnlinkatFlags::RemoveDir)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A private folder, and beside it a folder with a file that must not be touched.
    fn check(scene: impl FnOnce(&PrivateDir, &Path)) {
        let dir = tempfile::tempdir().unwrap();
        let (ours, precious) = (dir.path().join("ours"), dir.path().join("precious"));
        PrivateDir::make(&ours).unwrap();
        fs::create_dir(&precious).unwrap();
        fs::write(precious.join("a"), "x").unwrap();
        scene(&PrivateDir::open(&ours, Access::None).unwrap(), &precious);
        assert_eq!(fs::read_to_string(precious.join("a")).unwrap(), "x");
    }

    fn fault<T: std::fmt::Debug>(outcome: Result<T, DirError>) -> Fault {
        match outcome.unwrap_err() {
            DirError::Unsafe(fault) => fault,
            DirError::Io(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_removal_does_not_follow_links() {
        check(|ours, precious| {
            fs::create_dir_all(ours.path().join("a/b")).unwrap();
            symlink(precious, ours.path().join("a/b/link")).unwrap();
            symlink(precious, ours.path().join("link")).unwrap();
            ours.empty(None).unwrap();
            assert!(ours.names().unwrap().is_empty());
        });
    }

    #[test]
    fn a_removal_stays_in_the_folder_that_was_opened() {
        check(|ours, precious| {
            fs::write(ours.path().join("b"), "y").unwrap();
            fs::rename(ours.path(), ours.path().with_extension("moved")).unwrap();
            symlink(precious, ours.path()).unwrap();
            ours.empty(None).unwrap();
            ours.remove(OsStr::new("a")).unwrap();
        });
    }

    #[test]
    fn a_link_is_not_opened() {
        check(|ours, precious| {
            symlink(precious, ours.path().join("link")).unwrap();
            assert_eq!(fault(ours.child(OsStr::new("link"), Access::Read)), Fault::Link);
            assert_eq!(fault(ours.make_child(OsStr::new("link"))), Fault::Link);
            assert_eq!(fault(PrivateDir::open(&ours.path().join("link"), Access::None)), Fault::Link);
            symlink(precious.join("a"), ours.path().join("file")).unwrap();
            assert_eq!(fault(ours.open_file(OsStr::new("file"), OFlag::O_CREAT | OFlag::O_TRUNC)), Fault::Link);
        });
    }

    #[test]
    fn a_file_with_a_second_name_is_not_truncated() {
        check(|ours, precious| {
            fs::hard_link(precious.join("a"), ours.path().join("file")).unwrap();
            assert_eq!(fault(ours.open_file(OsStr::new("file"), OFlag::O_TRUNC)), Fault::NoFile);
        });
    }

    #[test]
    fn a_fifo_in_place_of_a_file_is_refused_without_waiting() {
        check(|ours, _| {
            nix::unistd::mkfifo(&ours.path().join("fifo"), Mode::S_IRWXU).unwrap();
            assert_eq!(fault(ours.open_file(OsStr::new("fifo"), OFlag::O_CREAT)), Fault::NoFile);
        });
    }

    #[test]
    fn a_folder_that_others_can_change_is_refused() {
        for (mode, looked_into, private) in [(0o700, true, true), (0o755, true, false), (0o720, false, false)] {
            check(|ours, _| {
                fs::set_permissions(ours.path(), fs::Permissions::from_mode(mode)).unwrap();
                assert_eq!(PrivateDir::open(ours.path(), Access::Read).is_ok(), looked_into, "{mode:o}");
                assert_eq!(PrivateDir::open(ours.path(), Access::None).is_ok(), private, "{mode:o}");
            });
        }
    }

    #[test]
    fn a_folder_in_anothers_place_is_not_removed() {
        check(|ours, _| {
            let child = ours.make_child(OsStr::new("child")).unwrap();
            fs::rename(child.path(), ours.path().join("moved")).unwrap();
            fs::create_dir(child.path()).unwrap();
            ours.remove_child(OsStr::new("child"), &child).unwrap_err();
            assert!(child.path().exists());
        });
    }
}
