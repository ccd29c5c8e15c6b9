//! The folder of a cluster: one per name and user, locked by its owner, swept by whoever comes after. Knows nothing of
//! what is kept in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;

use crate::name::ClusterName;

/// The file whose lock says that a cluster lives.
const LOCK: &str = "lock";

/// The longest name of a file that a cluster keeps in its folder as a socket.
const SOCKET_NAME_MAX: usize = 16;

/// The most bytes of a socket's path: `sun_path` of unix(7) less the closing zero.
const SOCKET_PATH_MAX: usize = 107;

/// Why there is no folder for a cluster.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A cluster of that name lives.
    #[error("a cluster named `{name}` runs already")]
    Running {
        /// The name.
        name: ClusterName,
    },
    /// The path of a socket would not fit.
    #[error("the folder `{}` is too deep: a socket in it would have more than {SOCKET_PATH_MAX} bytes of path", .path.display())]
    TooLong {
        /// The folder.
        path: PathBuf,
    },
    /// Somebody else could look into it or put things there.
    #[error("the folder `{}` is not a private one of ours: {why}", .path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The operating system said no.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

/// A cluster's folder, held by its owner. Dropping it removes the folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held until the value goes; closing the file is what frees the name, also when the process is killed.
    _lock: File,
}

impl Folder {
    /// Makes the folder of a cluster under `base`, or takes over what a dead owner left, emptied.
    ///
    /// # Errors
    /// A cluster of that name lives, or the folder cannot be made.
    pub fn create(base: &Path, name: &ClusterName) -> Result<Self, FolderError> {
        let path = base.join(name.as_str());
        if path.as_os_str().len() + 1 + SOCKET_NAME_MAX > SOCKET_PATH_MAX {
            return Err(FolderError::TooLong { path });
        }
        make_private(base)?;
        let _gate = gate(base)?;
        loop {
            make_private(&path)?;
            match lock(&path) {
                Ok(Some(lock)) => {
                    empty(&path)?;
                    return Ok(Self { path, _lock: lock });
                }
                Ok(None) => return Err(FolderError::Running { name: name.clone() }),
                // Its owner has just removed it: make it again.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(FolderError::Io { action: "lock", path, source }),
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

/// Where the folders of this user's clusters are: `$XDG_RUNTIME_DIR/xcluster`, else `xcluster-<uid>` in the temporary
/// folder. A runtime folder of another user, as `sudo` leaves it in the environment, is not used.
pub fn base() -> PathBuf {
    let uid = Uid::effective();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| {
        dir.is_absolute() && fs::metadata(dir).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid.as_raw())
    });
    match runtime {
        Some(dir) => dir.join("xcluster"),
        None => std::env::temp_dir().join(format!("xcluster-{uid}")),
    }
}

/// Where this user's files are that can be made again: `$XDG_CACHE_HOME/xcluster`, else `~/.cache/xcluster`. None for a
/// user without a home.
pub fn cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("xcluster"))
}

/// The clusters under `base` that live. What dead owners left there is removed.
///
/// # Errors
/// The folder cannot be read.
pub fn running(base: &Path) -> Result<Vec<ClusterName>, FolderError> {
    let failed = |source| FolderError::Io { action: "read", path: base.to_owned(), source };
    let entries = match fs::read_dir(base) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    check_private(base)?;
    let _gate = gate(base)?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).map(ClusterName::new);
        let Some(Ok(name)) = name else { continue };
        match lock(&path) {
            Ok(None) => names.push(name),
            // Kept while the rest goes, so that nobody moves in meanwhile.
            Ok(Some(_lock)) => remove(&path),
            Err(_) => {}
        }
    }
    names.sort();
    Ok(names)
}

/// Lets one at a time make or sweep folders: a lock that a sweeper takes would else be taken for an owner's. It is held for
/// a few system calls, and by nobody who has died.
fn gate(base: &Path) -> Result<File, FolderError> {
    let locked = File::open(base).and_then(|gate| gate.lock().map(|()| gate));
    locked.map_err(|source| FolderError::Io { action: "lock", path: base.to_owned(), source })
}

/// Takes the lock of a folder; none if its owner lives.
fn lock(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // The owner may have removed the file after it was opened here: then the lock says nothing.
    let same = fs::metadata(&path).is_ok_and(|now| file.metadata().is_ok_and(|then| now.ino() == then.ino()));
    if same { Ok(Some(file)) } else { Err(io::ErrorKind::NotFound.into()) }
}

fn make_private(path: &Path) -> Result<(), FolderError> {
    let made = DirBuilder::new().mode(0o700).recursive(true).create(path);
    made.map_err(|source| FolderError::Io { action: "make the folder", path: path.to_owned(), source })?;
    check_private(path)
}

fn check_private(path: &Path) -> Result<(), FolderError> {
    let meta = fs::symlink_metadata(path);
    let meta = meta.map_err(|source| FolderError::Io { action: "look at", path: path.to_owned(), source })?;
    let not_private = |why| Err(FolderError::NotPrivate { path: path.to_owned(), why });
    match () {
        () if !meta.is_dir() => not_private("it is no folder"),
        () if meta.uid() != Uid::effective().as_raw() => not_private("it belongs to another user"),
        () if meta.mode() & 0o077 != 0 => not_private("other users have access to it"),
        () => Ok(()),
    }
}

/// Removes everything in a folder but its lock.
fn empty(folder: &Path) -> Result<(), FolderError> {
    let failed = |source| FolderError::Io { action: "empty", path: folder.to_owned(), source };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name() == LOCK {
            continue;
        }
        let is_dir = entry.file_type().map_err(failed)?.is_dir();
        let gone = if is_dir { fs::remove_dir_all(entry.path()) } else { fs::remove_file(entry.path()) };
        gone.map_err(failed)?;
    }
    Ok(())
}

/// Removes a folder whose lock is held, the lock last: without it, somebody else may already be moving in. Whatever
/// resists is met again, with an error, by who next uses the name.
fn remove(folder: &Path) {
    let removed = empty(folder).and_then(|()| {
        let failed = |source| FolderError::Io { action: "remove", path: folder.to_owned(), source };
        fs::remove_file(folder.join(LOCK)).and_then(|()| fs::remove_dir(folder)).map_err(failed)
    });
    if let Err(error) = removed {
        tracing::debug!(%error, "a cluster's folder stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ClusterName {
        ClusterName::new(text).unwrap()
    }

    fn base() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("base");
        (dir, base)
    }

    #[test]
    fn a_name_is_held_by_one_owner_and_free_after() {
        let (_dir, base) = base();
        let folder = Folder::create(&base, &name("a")).unwrap();
        assert!(matches!(Folder::create(&base, &name("a")), Err(FolderError::Running { .. })));
        assert_eq!(running(&base).unwrap(), [name("a")]);
        drop(folder);
        assert!(!base.join("a").exists());
        Folder::create(&base, &name("a")).unwrap();
    }

    #[test]
    fn what_a_dead_owner_left_is_swept() {
        let (_dir, base) = base();
        fs::create_dir_all(base.join("dead/sub")).unwrap();
        fs::write(base.join("dead/sub/file"), "x").unwrap();
        fs::write(base.join("dead/lock"), "").unwrap();
        fs::set_permissions(&base, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        assert_eq!(running(&base).unwrap(), []);
        assert!(!base.join("dead").exists());
    }

    #[test]
    fn a_dead_owners_name_can_be_used_again() {
        let (_dir, base) = base();
        DirBuilder::new().mode(0o700).recursive(true).create(base.join("dead")).unwrap();
        fs::write(base.join("dead/console.log"), "old").unwrap();
        let folder = Folder::create(&base, &name("dead")).unwrap();
        assert!(!folder.path().join("console.log").exists());
    }

    #[test]
    fn a_folder_that_others_can_enter_is_refused() {
        let (_dir, base) = base();
        fs::create_dir(&base).unwrap();
        fs::set_permissions(&base, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        assert!(matches!(Folder::create(&base, &name("a")), Err(FolderError::NotPrivate { .. })));
    }

    #[test]
    fn a_folder_too_deep_for_a_socket_is_refused() {
        let (_dir, base) = base();
        let deep = base.join("x".repeat(90));
        assert!(matches!(Folder::create(&deep, &name("a")), Err(FolderError::TooLong { .. })));
        assert!(!deep.exists());
    }

    #[test]
    fn who_sweeps_is_not_taken_for_an_owner() {
        let (_dir, base) = base();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        running(&base).unwrap();
                    }
                });
            }
            for count in 0..500 {
                let made = Folder::create(&base, &name(&format!("a{count}")));
                if made.is_err() {
                    done.store(true, std::sync::atomic::Ordering::Relaxed);
                }
                drop(made.unwrap());
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }

    #[test]
    fn many_who_want_one_name_at_once_get_it_one_at_a_time() {
        let (_dir, base) = base();
        let inside = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let Ok(folder) = Folder::create(&base, &name("a")) else { continue };
                        assert_eq!(inside.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        fs::write(folder.path().join("file"), "x").unwrap();
                        inside.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
