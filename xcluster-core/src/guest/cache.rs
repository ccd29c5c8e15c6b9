//! The folder in which built guests are kept: who may build at a time, and that nothing half-built or broken is ever
//! found in it. What is built is not known here.

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
use crate::host::{Access, DirError, Fault, PrivateDir};

/// What a folder is called while it is built. Only the holder of the lock makes one, so whoever holds the lock and finds
/// one that is not its own may remove it: its builder is dead.
const BUILDING: &str = "building-";

/// How the names of entries begin.
const ENTRIES: &[&str] = &["image-", "parts-"];

/// The file that a builder locks.
const LOCK: &str = "lock";

/// How long an entry that nobody uses stays.
const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A download over a slow line may be in front of us.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// Neither variable says where it is.
    #[error("no folder for the cache: neither XDG_CACHE_HOME nor HOME is an absolute path")]
    NoFolder,
    /// Somebody else builds, and does not get done.
    #[error("another process has been building in `{}` for {} s", .folder.display(), .waited.as_secs())]
    Busy {
        /// The cache.
        folder: PathBuf,
        /// For how long we have waited.
        waited: Duration,
    },
    /// Others could change what is in it, or it is not what it should be.
    #[error("`{}` in the cache cannot be used: {fault}; move it away", .path.display())]
    Unsafe {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The operating system said no.
    #[error("cannot {what} `{}`", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What was said.
        #[source]
        source: io::Error,
    },
}

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

/// Where built guests are kept. Any number of threads and processes may use one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    folder: PathBuf,
    patience: Duration,
}

impl Cache {
    /// In a folder, which is made when something is put into it.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), patience: PATIENCE }
    }

    /// The user's: `$XDG_CACHE_HOME/xcluster`, else `~/.cache/xcluster`.
    pub fn of_user() -> Result<Self, CacheError> {
        Self::from(env::var_os("XDG_CACHE_HOME"), env::var_os("HOME"))
    }

    fn from(cache: Option<OsString>, home: Option<OsString>) -> Result<Self, CacheError> {
        // The XDG specification has relative paths ignored.
        let absolute = |path: Option<OsString>| path.map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = absolute(cache).or_else(|| Some(absolute(home)?.join(".cache")));
        Ok(Self::at(folder.ok_or(CacheError::NoFolder)?.join("xcluster")))
    }

    /// How long to wait for another builder.
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The entry of that name, if it is there and whole.
    pub(super) fn find(&self, name: &str) -> Result<Option<Entry>, Damage> {
        let folder = self.folder.join(name);
        let Some(manifest) = Manifest::read(&folder)? else { return Ok(None) };
        manifest.check(&folder)?;
        // Only for [`Locked::sweep`]; a cache that cannot be written serves all the same.
        let _ = File::open(Manifest::path(&folder)).and_then(|file| file.set_modified(SystemTime::now()));
        Ok(Some(Entry { folder, manifest }))
    }

    /// Waits until nobody else builds.
    pub(super) fn lock(&self) -> Result<Locked<'_>, CacheError> {
        PrivateDir::make(&self.folder).map_err(CacheError::of("create", &self.folder))?;
        // The user may keep the cache elsewhere by a link, on a larger disk.
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
        sweep(&dir).map_err(CacheError::io("tidy up", &self.folder))?;
        Ok(Locked { cache: self, dir, _lock: lock })
    }

    fn wait(&self, file: File) -> Result<Result<Flock<File>, Errno>, CacheError> {
        let (sender, receiver) = mpsc::channel();
        // A lock has no deadline. A thread that gets it too late lets it go at once, as nobody receives it.
        thread::spawn(move || sender.send(Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)));
        let busy = |_| CacheError::Busy { folder: self.folder.clone(), waited: self.patience };
        receiver.recv_timeout(self.patience).map_err(busy)
    }
}

/// Something in the cache that is whole.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) folder: PathBuf,
    pub(super) manifest: Manifest,
}

/// The right to build in a cache, until it is dropped or this process ends.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    cache: &'a Cache,
    dir: PrivateDir,
    _lock: Flock<File>,
}

impl Locked<'_> {
    /// A folder to build in, gone when dropped.
    pub(super) fn workshop(&self) -> Result<TempDir, CacheError> {
        let folder = &self.cache.folder;
        tempfile::Builder::new()
            .prefix(BUILDING)
            .tempdir_in(folder)
            .map_err(CacheError::io("create a folder in", folder))
    }

    /// Makes what was built in a folder findable under a name, in place of what had it.
    pub(super) fn publish(&self, built: TempDir, manifest: Manifest, name: &str) -> Result<Entry, CacheError> {
        manifest.write(built.path()).map_err(CacheError::io("write", built.path()))?;
        let folder = self.cache.folder.join(name);
        self.clear(name)?;
        fs::rename(built.path(), &folder).map_err(CacheError::io("create", &folder))?;
        // It is not there any more under the name by which it would be removed.
        let _ = built.keep();
        Ok(Entry { folder, manifest })
    }

    /// Removes an entry, if there is one. Only a folder with a manifest is one: anything else is somebody's own.
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
        // Nobody finds half of it: a folder of that name is removed by the next builder, if this one dies.
        let aside = format!("{BUILDING}{}-old", std::process::id());
        let moved = self.dir.rename(name.as_ref(), aside.as_ref());
        moved.and_then(|()| self.dir.remove(aside.as_ref())).map_err(CacheError::io("replace", &path))
    }
}

/// Removes what builders that died have left, and what nobody has used for long. Anything else in the folder is not ours.
fn sweep(cache: &PrivateDir) -> io::Result<()> {
    for name in cache.names()? {
        let name = OsStr::from_bytes(name.to_bytes());
        if (is_named(name, &[BUILDING]) || is_forgotten(cache, name))
            && let Err(error) = cache.remove(name)
        {
            tracing::warn!(path = %cache.path().join(name).display(), %error, "something in the cache stays");
        }
    }
    Ok(())
}

fn is_forgotten(cache: &PrivateDir, name: &OsStr) -> bool {
    let used = || {
        let entry = cache.child(name, Access::Read).ok()?;
        let manifest = entry.open_file(Manifest::NAME.as_ref(), OFlag::empty()).ok()?;
        manifest.metadata().ok()?.modified().ok()
    };
    is_named(name, ENTRIES) && used().is_some_and(|used| used.elapsed().is_ok_and(|age| age > KEEP))
}

fn is_named(name: &OsStr, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()))
}
