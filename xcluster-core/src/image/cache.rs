//! The folder of built images. One process builds at a time, and an entry is either complete or not there.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use tempfile::TempDir;

use super::manifest::{Damage, Manifest};
use crate::error_chain;
use crate::host::{Access, DirError, Fault, PrivateDir};

/// The prefix of a folder that is being built. Only the holder of the lock makes such a folder. So the next holder removes
/// every one that it finds: its builder is dead.
const BUILDING: &str = "building-";

/// The file that shows that a build folder is ours.
const MARK: &str = ".xcluster-build";

/// The prefixes of entries.
const ENTRIES: &[&str] = &["image-", "parts-"];

/// The file that a builder locks.
const LOCK: &str = "lock";

/// How long an unused entry is kept.
const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long to wait for the lock: the process that holds it may be downloading over a slow line.
const LOCK_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// Why the cache cannot be used.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// No environment variable names the folder.
    #[error("no folder for the cache: neither XDG_CACHE_HOME nor HOME is an absolute path")]
    NoFolder,
    /// Another process holds the lock for too long.
    #[error("another process has been building in `{}` for {} s", .folder.display(), .waited.as_secs())]
    Busy {
        /// The cache.
        folder: PathBuf,
        /// How long this process has waited.
        waited: Duration,
    },
    /// Other users could change a file or folder, or it was not made by xcluster.
    #[error("`{}` in the cache cannot be used: {fault}; move it away", .path.display())]
    Unsafe {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// An operation on a file failed.
    #[error("cannot {what} `{}`", .path.display())]
    Io {
        /// The operation.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

error_chain::readable_debug!(CacheError);

impl CacheError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    fn of(what: &'static str, path: &Path) -> impl FnOnce(DirError) -> Self + use<> {
        let path = path.to_owned();
        move |error| match error {
            DirError::Unsafe(fault) => Self::Unsafe { path, fault },
            DirError::Io(source) => Self::Io { what, path, source },
        }
    }
}

/// A folder of built images. Any number of threads and processes may use it at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
    lock_timeout: Duration,
}

impl Cache {
    /// Returns the cache in `folder`, which is created at the first build.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), lock_timeout: LOCK_TIMEOUT }
    }

    /// Returns the user's cache: `$XDG_CACHE_HOME/xcluster`, or `~/.cache/xcluster`.
    ///
    /// # Errors
    /// Neither `XDG_CACHE_HOME` nor `HOME` is an absolute path.
    pub fn of_user() -> Result<Self, CacheError> {
        Self::from(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))
    }

    fn from(cache: Option<OsString>, home: Option<OsString>) -> Result<Self, CacheError> {
        // The XDG specification says that relative paths are ignored.
        let absolute = |path: Option<OsString>| path.map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = absolute(cache).or_else(|| Some(absolute(home)?.join(".cache")));
        Ok(Self::at(folder.ok_or(CacheError::NoFolder)?.join("xcluster")))
    }

    /// Sets how long to wait for another process that builds; 20 minutes otherwise.
    #[must_use]
    pub fn with_lock_timeout(self, lock_timeout: Duration) -> Self {
        Self { lock_timeout, ..self }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the entry with this name if it exists and is undamaged.
    pub(super) fn find(&self, name: &str) -> Result<Option<Entry>, Damage> {
        let folder = self.folder.join(name);
        let Some(manifest) = Manifest::read(&folder)? else { return Ok(None) };
        manifest.check(&folder)?;
        // For the cleanup, which removes unused entries. An error is ignored: a read-only cache can be used too.
        let _ = File::open(Manifest::path(&folder)).and_then(|file| file.set_modified(SystemTime::now()));
        Ok(Some(Entry { folder, manifest }))
    }

    /// Waits for the lock and removes leftovers of killed builders.
    pub(super) fn lock(&self) -> Result<Locked<'_>, CacheError> {
        PrivateDir::make(&self.folder).map_err(CacheError::of("create", &self.folder))?;
        // The folder may be a symbolic link: users keep the cache on a larger disk.
        let dir = PrivateDir::open_at_link(&self.folder, Access::Read);
        let dir = dir.map_err(CacheError::of("open", &self.folder))?;
        let path = self.folder.join(LOCK);
        let file = dir.open_file(LOCK.as_ref(), OFlag::O_CREAT).map_err(CacheError::of("open", &path))?;
        let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => lock,
            Err((file, Errno::EWOULDBLOCK)) => {
                self.wait(file)?.map_err(|errno| CacheError::io("lock", &path)(errno.into()))?
            }
            Err((_, errno)) => return Err(CacheError::io("lock", &path)(errno.into())),
        };
        clean_up(&dir).map_err(CacheError::io("clean up", &self.folder))?;
        Ok(Locked { cache: self, dir, _lock: lock })
    }

    fn wait(&self, file: File) -> Result<Result<Flock<File>, Errno>, CacheError> {
        let (sender, receiver) = mpsc::channel();
        // flock(2) has no timeout. If the thread gets the lock too late, it releases it at once, since the receiver is gone.
        thread::spawn(move || sender.send(Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)));
        let busy = |_| CacheError::Busy { folder: self.folder.clone(), waited: self.lock_timeout };
        receiver.recv_timeout(self.lock_timeout).map_err(busy)
    }
}

/// An undamaged entry of the cache.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) folder: PathBuf,
    pub(super) manifest: Manifest,
}

/// The lock on a cache: the right to build in it. It is released when the value is dropped or the process ends.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    cache: &'a Cache,
    dir: PrivateDir,
    _lock: Flock<File>,
}

impl Locked<'_> {
    /// Creates a folder to build in, which is removed when it is dropped.
    pub(super) fn build_folder(&self) -> Result<TempDir, CacheError> {
        let folder = &self.cache.folder;
        let made = tempfile::Builder::new().prefix(BUILDING).tempdir_in(folder);
        let made = made.and_then(|made| File::create_new(made.path().join(MARK)).map(|_| made));
        made.map_err(CacheError::io("create a folder in", folder))
    }

    /// Makes a build folder the entry `name`, in place of an earlier one.
    pub(super) fn publish(&self, built: TempDir, manifest: Manifest, name: &str) -> Result<Entry, CacheError> {
        manifest.write(built.path()).map_err(CacheError::io("write", built.path()))?;
        let folder = self.cache.folder.join(name);
        self.clear(name)?;
        fs::remove_file(built.path().join(MARK)).map_err(CacheError::io("finish", built.path()))?;
        fs::rename(built.path(), &folder).map_err(CacheError::io("create", &folder))?;
        // The folder was renamed, so there is nothing to remove under its old name.
        let _ = built.keep();
        Ok(Entry { folder, manifest })
    }

    /// Removes an entry, if it exists. A folder without a manifest is not an entry, so it is an error.
    fn clear(&self, name: &str) -> Result<(), CacheError> {
        let path = self.cache.folder.join(name);
        let found = self.dir.child(name.as_ref(), Access::Read).and_then(|entry| {
            entry.open_file(Manifest::NAME.as_ref(), OFlag::empty()).map_err(|error| match error {
                DirError::Io(error) if error.kind() == io::ErrorKind::NotFound => DirError::Unsafe(Fault::NoEntry),
                error => error,
            })
        });
        match found {
            Ok(_) => {}
            Err(DirError::Io(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(CacheError::of("open", &path)(error)),
        }
        // Renamed first, so that no process finds a half-removed entry. If this process dies, the next builder removes it.
        let aside = format!("{BUILDING}{}-old", std::process::id());
        let moved = self.dir.rename(name.as_ref(), aside.as_ref());
        moved.and_then(|()| self.dir.remove(aside.as_ref())).map_err(CacheError::io("replace", &path))
    }
}

/// Removes build folders of killed processes, and entries that were not used for [`KEEP`]. All else is not ours.
fn clean_up(cache: &PrivateDir) -> io::Result<()> {
    for name in cache.names()? {
        let name = OsStr::from_bytes(name.to_bytes());
        if (is_abandoned(cache, name) || is_unused(cache, name))
            && let Err(error) = cache.remove(name)
        {
            tracing::warn!(path = %cache.path().join(name).display(), %error, "cannot remove a leftover in the cache");
        }
    }
    Ok(())
}

/// Whether a builder that was killed has left it: an empty folder, one with our mark, or an entry that was to be replaced.
fn is_abandoned(cache: &PrivateDir, name: &OsStr) -> bool {
    let ours = |folder: PrivateDir| {
        let has = |name: &str| folder.open_file(name.as_ref(), OFlag::empty()).is_ok();
        has(MARK) || has(Manifest::NAME) || folder.names().is_ok_and(|names| names.is_empty())
    };
    has_prefix(name, &[BUILDING]) && cache.child(name, Access::Read).is_ok_and(ours)
}

fn is_unused(cache: &PrivateDir, name: &OsStr) -> bool {
    let used = || {
        let entry = cache.child(name, Access::Read).ok()?;
        let manifest = entry.open_file(Manifest::NAME.as_ref(), OFlag::empty()).ok()?;
        manifest.metadata().ok()?.modified().ok()
    };
    has_prefix(name, ENTRIES) && used().is_some_and(|used| used.elapsed().is_ok_and(|age| age > KEEP))
}

fn has_prefix(name: &OsStr, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}
