//! A folder that belongs to this user alone, used through its descriptor: neither a link, a mount nor a renamed folder can
//! lead a removal elsewhere.

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

/// Folders are opened as what they are, never through a link.
const AS_ITSELF: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// How deep folders that are removed may be nested: each level takes a descriptor and some stack.
const DEPTH_MAX: u32 = 128;

/// The user alone.
const PRIVATE: Mode = Mode::S_IRWXU;

/// Why a folder or file is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirError {
    /// Using it could change or expose what is not ours.
    #[error("{0}")]
    Unsafe(Fault),
    /// The operating system refused.
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

/// What makes a folder or file unsafe to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// A symbolic link.
    #[error("it is a symbolic link")]
    Link,
    /// Something else is expected to be a folder.
    #[error("it is not a folder")]
    NoFolder,
    /// Something else is expected to be a file.
    #[error("it is not a regular file with one name")]
    NoFile,
    /// A folder in the cache has no manifest.
    #[error("it is not an image that was built here")]
    NoEntry,
    /// Another file system, or another part of this one, is mounted there.
    #[error("it is a mount point")]
    Mount,
    /// The owner is another user.
    #[error("it belongs to user {0}")]
    Owner(u32),
    /// Its mode gives others access.
    #[error("other users have access to it (mode {0:04o})")]
    Mode(u32),
}

/// Which modes of a folder are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Others may neither look into it nor change it.
    None,
    /// Others may look into it.
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
    /// It is not there, is a link, belongs to another user, or others have more access than is allowed.
    pub(crate) fn open(path: &Path, others: Access) -> Result<Self, DirError> {
        Self::check(
            open(path, AS_ITSELF, Mode::empty()).map_err(|errno| opened_link(AT_FDCWD, path, errno))?,
            path,
            others,
        )
    }

    /// Opens a folder that a link may lead to: the user's own choice of a place, as for a cache on another disk.
    pub(crate) fn open_at_link(path: &Path, others: Access) -> Result<Self, DirError> {
        Self::check(open(path, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?, path, others)
    }

    /// Makes a folder that only this user can enter, and its parents, if they are not there.
    pub(crate) fn make(path: &Path) -> Result<(), DirError> {
        Ok(DirBuilder::new().mode(PRIVATE.bits()).recursive(true).create(path)?)
    }

    /// Opens a folder in this one. A mount point is refused, also one of the same file system.
    pub(crate) fn child(&self, name: &OsStr, others: Access) -> Result<Self, DirError> {
        Self::check(open_child(&self.fd, &c_name(name)?)?, &self.path.join(name), others)
    }

    /// Makes a folder in this one, unless something of that name is there, and opens it.
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

    /// Where it was when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder opened once more, for a lock on it: a lock is shared by all copies of a descriptor.
    pub(crate) fn reopen(&self) -> io::Result<File> {
        Ok(File::from(openat(&self.fd, ".", AS_ITSELF, Mode::empty())?))
    }

    /// The names in it, in no order.
    pub(crate) fn names(&self) -> io::Result<Vec<CString>> {
        names(&self.fd)
    }

    /// Opens a file of ours in it to read and write. `flags` may be `O_CREAT`, `O_EXCL`, `O_TRUNC` or `O_APPEND`: a file is
    /// only truncated once it is known to be ours.
    ///
    /// # Errors
    /// It is a link, has another name elsewhere, is not a regular file, or belongs to another user.
    pub(crate) fn open_file(&self, name: &OsStr, flags: OFlag) -> Result<File, DirError> {
        // A FIFO or device must not block.
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

    /// Gives a file another name, in place of what had that.
    pub(crate) fn rename(&self, name: &OsStr, new: &OsStr) -> io::Result<()> {
        Ok(renameat(&self.fd, name, &self.fd, new)?)
    }

    /// Whether `name` in this folder is the file that is open.
    pub(crate) fn has(&self, name: &OsStr, file: &File) -> bool {
        fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|there| is_same(&there, file.as_fd()))
    }

    /// Removes a file or a folder in this one with all that is in it. What is mounted in it stays, and with it the folders
    /// above; links are removed and not followed.
    ///
    /// # Errors
    /// Something stays; the rest is gone.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<()> {
        remove_at(&self.fd, &c_name(name)?, 0)
    }

    /// Removes all that is in this folder but `kept`.
    ///
    /// # Errors
    /// Something stays; the rest is gone.
    pub(crate) fn empty(&self, kept: Option<&OsStr>) -> io::Result<()> {
        let mut failed = Ok(());
        for name in self.names()? {
            if kept.is_none_or(|kept| kept.as_bytes() != name.as_bytes()) {
                failed = failed.and(remove_at(&self.fd, &name, 0));
            }
        }
        failed
    }

    /// Removes a folder in this one that is empty, if it is `child` and not another that has come in its place.
    pub(crate) fn remove_child(&self, name: &OsStr, child: &Self) -> io::Result<()> {
        let there = fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        if !is_same(&there, &child.fd) {
            return Err(io::Error::new(io::ErrorKind::NotFound, "another folder has come in its place"));
        }
        Ok(unlinkat(&self.fd, name, UnlinkatFlags::RemoveDir)?)
    }
}

/// Whether others than this user are kept out.
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
        // An old kernel, or a container that forbids the call: there, only other file systems are noticed.
        Err(Errno::ENOSYS | Errno::EPERM) => {
            let fd =
                openat(parent, name, AS_ITSELF, Mode::empty()).map_err(|errno| opened_link(parent, name, errno))?;
            if fstat(&fd)?.st_dev == fstat(parent)?.st_dev { Ok(fd) } else { Err(DirError::Unsafe(Fault::Mount)) }
        }
        opened => opened.map_err(|errno| opened_link(parent, name, errno)),
    }
}

/// The kernel says of a link only that it is not a folder.
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
    // Opened anew: the position in a folder belongs to the open file, which the descriptor shares with its copies.
    let mut entries = Dir::openat(folder, ".", AS_ITSELF, Mode::empty())?;
    let names = entries.iter().map(|entry| Ok(entry?.file_name().to_owned()));
    names
        .filter(|name: &io::Result<CString>| !matches!(name.as_ref().map(|n| n.to_bytes()), Ok(b"." | b"..")))
        .collect()
}

fn remove_at(parent: &OwnedFd, name: &CStr, depth: u32) -> io::Result<()> {
    let folder = match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => return Ok(()),
        // unlink(2): Linux says EISDIR of a folder, POSIX has EPERM.
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

    /// A private folder, and beside it a folder with a file that nothing may touch.
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
