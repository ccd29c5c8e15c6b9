//! The runtime folder, which has one folder per cluster. The cluster's owner locks its folder. Decides which folders a
//! command may remove.

use std::ffi::{CStr, OsStr, OsString};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::OFlag;
use nix::unistd::Uid;

use super::private_dir::{Access, DirError, Fault, PrivateDir};
use crate::error_chain;
use crate::name::ClusterName;

/// The file that an owner locks while its cluster runs.
const LOCK: &str = "lock";

/// The start of that file, which shows that a cluster made the folder. The path of the folder follows; it leads to the owner
/// of a folder that was removed.
const MARK: &str = "xcluster cluster folder\n";

/// The longest name of a socket in a cluster's folder.
const SOCKET_NAME_MAX: usize = 16;

/// The most bytes of a socket's path: `sun_path` of unix(7) without the closing zero.
const SOCKET_PATH_MAX: usize = 107;

/// How long to wait for another process that makes or removes folders. It holds the lock for a few system calls.
const GATE_TIMEOUT: Duration = Duration::from_secs(10);

/// The retry interval: flock(2) has no deadline.
const GATE_RETRY: Duration = Duration::from_millis(1);

/// Why there is no folder for a cluster.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// A cluster of that name is running.
    #[error("cluster `{name}` is already running")]
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
    /// The folder is needed and is not a private folder of this user.
    #[error("the folder `{}` cannot be used: {fault}", .path.display())]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Something that is not a cluster's folder has the cluster's name.
    #[error("`{}` is not a cluster's folder: {why}", .path.display())]
    Foreign {
        /// What has the name.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A system call failed.
    #[error("cannot {action} `{}`", .path.display())]
    Io {
        /// The action.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

error_chain::readable_debug!(FolderError);

impl FolderError {
    fn of(action: &'static str, path: &Path) -> impl Fn(DirError) -> Self + use<> {
        let path = path.to_owned();
        move |error| match error {
            DirError::Unsafe(fault) => Self::NotPrivate { path: path.clone(), fault },
            DirError::Io(source) => Self::Io { action, path: path.clone(), source },
        }
    }

    fn io(action: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path: path.clone(), source }
    }

    /// The command that helps, if one is known.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::NotPrivate { path, fault: Fault::Mode(_) } => Some(format!("chmod 0700 {}", path.display())),
            Self::NotPrivate { .. } | Self::TooLong { .. } => Some("export XDG_RUNTIME_DIR=$(mktemp -d)".to_owned()),
            _ => None,
        }
    }
}

/// A cluster's folder, locked by its owner. Dropping it removes the folder.
#[derive(Debug)]
pub struct Folder {
    base: PrivateDir,
    dir: Arc<PrivateDir>,
    name: ClusterName,
    /// Closing the file releases the lock, also when the process is killed.
    lock: File,
}

impl Folder {
    /// Makes the folder of a cluster under `base`. The folder of a dead owner is emptied and used again.
    ///
    /// # Errors
    /// A cluster of that name is running, something else has its name, or the folder cannot be made.
    pub fn create(base: &Path, name: &ClusterName) -> Result<Self, FolderError> {
        let base = std::path::absolute(base).map_err(FolderError::io("find", base))?;
        let path = base.join(name.as_str());
        if path.as_os_str().len() + 1 + SOCKET_NAME_MAX > SOCKET_PATH_MAX {
            return Err(FolderError::TooLong { path });
        }
        PrivateDir::make(&base).map_err(FolderError::of("make the folder", &base))?;
        let base = open_base(&base)?;
        let _gate = gate(&base)?;
        let dir = base.make_child(name.as_str().as_ref()).map_err(|error| match error {
            DirError::Unsafe(fault) => FolderError::Foreign { path: path.clone(), why: fault.to_string() },
            DirError::Io(source) => FolderError::Io { action: "make the folder", path: path.clone(), source },
        })?;
        let io = FolderError::io("use", &path);
        let mut lock = match claim(&dir).map_err(&io)? {
            Claim::Alive => return Err(FolderError::Running { name: name.clone() }),
            Claim::Dead(lock) => {
                dir.empty(Some(LOCK.as_ref())).map_err(FolderError::io("empty", &path))?;
                lock
            }
            // Made just now, or by an owner that died at this point.
            Claim::Foreign(_) if dir.names().map_err(&io)?.is_empty() => {
                let created = dir.open_file(LOCK.as_ref(), OFlag::O_CREAT | OFlag::O_EXCL);
                let lock = created.map_err(FolderError::of("make the lock of", &path))?;
                lock.try_lock().map_err(|error| io(error.into()))?;
                lock
            }
            Claim::Foreign(why) => return Err(FolderError::Foreign { path, why }),
        };
        // At once: an owner that is killed leaves all of it or nothing.
        let text = [MARK.as_bytes(), path.as_os_str().as_bytes()].concat();
        lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(&text)).map_err(&io)?;
        Ok(Self { base, dir: Arc::new(dir), name: name.clone(), lock })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The open folder, for files that must be in it and nowhere else.
    pub(crate) fn dir(&self) -> Arc<PrivateDir> {
        self.dir.clone()
    }

    /// Marks the folder as used, for programs that remove old files, such as systemd-tmpfiles below `/tmp`.
    pub(crate) fn refresh(&self) {
        // A failure only matters after days.
        let _ = self.lock.set_modified(SystemTime::now());
    }

    /// Whether other processes still find the folder and the lock in it. A user may have removed or renamed either, or a
    /// folder above. Then no command can reach the cluster any more.
    pub fn is_in_place(&self) -> bool {
        match fs::symlink_metadata(self.path().join(LOCK)) {
            Ok(there) => self.lock.metadata().is_ok_and(|ours| is_same(&there, &ours)),
            // Another error says nothing about the folder: a folder above may have lost its modes for a moment.
            Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
        }
    }

    /// Ends the search for this owner: its cluster has ended, and the process may go on.
    pub(crate) fn give_up(&self) {
        // Without it, commands report the owner as long as it has the file open.
        let _ = self.lock.set_len(0);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Another process may be about to take the lock of the file that is removed here. If the gate cannot be had, the
        // folder goes all the same: who finds a lock without a file gives up.
        let _gate = gate(&self.base);
        if let Err(error) = remove(&self.base, &self.dir, self.name.as_str().as_ref(), &self.lock) {
            tracing::debug!(%error, path = %self.path().display(), "a cluster's folder stays");
        }
    }
}

/// The folder of this user's cluster folders: `$XDG_RUNTIME_DIR/xcluster`, else `xcluster-<uid>` in the temporary folder. A
/// runtime folder of another user, which `sudo` leaves in the environment, is not used.
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

/// The folder of this user's files that can be made again: `$XDG_CACHE_HOME/xcluster`, else `~/.cache/xcluster`. `None` for a
/// user without a home.
pub fn cache() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("xcluster"))
}

/// Checks whether the runtime folder can be used, if it exists.
///
/// # Errors
/// It is a link, belongs to another user, or others have access to it.
pub fn check(base: &Path) -> Result<(), FolderError> {
    match open_base(base) {
        Err(error) if is_absent(&error) => Ok(()),
        opened => opened.map(drop),
    }
}

/// The contents of a runtime folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// The names of the running clusters.
    pub running: Vec<ClusterName>,
    /// Entries that are neither a running cluster's folder nor that of a dead owner. They are left alone.
    pub foreign: Vec<Foreign>,
    /// Running owners whose folder was removed or renamed. They notice it within about a second, and end.
    pub lost: Vec<LostOwner>,
}

/// An entry of the runtime folder that no cluster made.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Foreign {
    /// Its path.
    pub path: PathBuf,
    /// Why it is not a cluster's folder.
    pub why: String,
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` is not a cluster's folder and stays: {}", self.path.display(), self.why)
    }
}

/// A process that owns a cluster whose folder is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LostOwner {
    /// The cluster's name.
    pub name: ClusterName,
    /// The process ID.
    pub pid: u32,
}

impl LostOwner {
    /// A process that owns a cluster whose folder is gone.
    pub fn new(name: ClusterName, pid: u32) -> Self {
        Self { name, pid }
    }
}

/// Lists a runtime folder, and removes the folders of dead owners. Other entries stay as they are.
///
/// # Errors
/// The folder cannot be read, or is not private.
pub fn survey(base: &Path) -> Result<Survey, FolderError> {
    let base = std::path::absolute(base).map_err(FolderError::io("find", base))?;
    let survey = sweep(&base)?;
    Ok(Survey { lost: lost_owners(&base), ..survey })
}

/// The running clusters under `base`. The folders of dead owners are removed.
///
/// # Errors
/// The folder cannot be read, or is not private.
pub fn running(base: &Path) -> Result<Vec<ClusterName>, FolderError> {
    Ok(sweep(base)?.running)
}

/// A listing without lost owners, because finding those means to look at every process.
pub(crate) fn sweep(base: &Path) -> Result<Survey, FolderError> {
    let mut survey = Survey::default();
    let base = &std::path::absolute(base).map_err(FolderError::io("find", base))?;
    let opened = match open_base(base) {
        Ok(opened) => opened,
        Err(error) if is_absent(&error) => return Ok(survey),
        Err(error) => return Err(error),
    };
    let _gate = gate(&opened)?;
    for name in opened.names().map_err(FolderError::io("read", base))? {
        match look_at(&opened, &name) {
            Found::Running(name) => survey.running.push(name),
            Found::Removed => {}
            Found::Foreign(why) => {
                survey.foreign.push(Foreign { path: base.join(OsStr::from_bytes(name.to_bytes())), why });
            }
        }
    }
    survey.running.sort();
    survey.foreign.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(survey)
}

/// A folder within another one, such as a backend's in the folder of its cluster. It stays open, so that it is the one that is
/// removed, whatever becomes of the path. Dropping it removes it.
#[derive(Debug)]
pub struct Subfolder {
    parent: PrivateDir,
    dir: PrivateDir,
    name: OsString,
}

impl Subfolder {
    /// Makes a folder that only this user can enter.
    ///
    /// # Errors
    /// `parent` is a link or belongs to another user, something has the name, or the folder cannot be made.
    pub fn make(parent: &Path, name: &str) -> io::Result<Self> {
        let unusable = |error| match error {
            DirError::Unsafe(fault) => io::Error::other(fault),
            DirError::Io(error) => error,
        };
        let parent = PrivateDir::open(parent, Access::Read).map_err(unusable)?;
        let dir = parent.make_child(name.as_ref()).map_err(unusable)?;
        Ok(Self { parent, dir, name: name.into() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Removes it with all that is in it.
    ///
    /// # Errors
    /// Something stays.
    pub fn remove(&self) -> io::Result<()> {
        self.dir.empty(None)?;
        match self.parent.remove_child(&self.name, &self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

impl Drop for Subfolder {
    fn drop(&mut self) {
        // The rest is removed with the folder above.
        let _ = self.remove();
    }
}

/// The kind of an entry of the runtime folder.
enum Found {
    Running(ClusterName),
    Removed,
    Foreign(String),
}

fn look_at(base: &PrivateDir, entry: &CStr) -> Found {
    let entry = OsStr::from_bytes(entry.to_bytes());
    let Some(Ok(name)) = entry.to_str().map(ClusterName::new) else {
        return Found::Foreign("no cluster can have that name".to_owned());
    };
    let dir = match base.child(entry, Access::None) {
        Ok(dir) => dir,
        Err(error) => return Found::Foreign(error_chain::one_line(&error)),
    };
    match claim(&dir) {
        Ok(Claim::Alive) => Found::Running(name),
        // The lock is held during the removal, so that no new owner uses the folder meanwhile.
        Ok(Claim::Dead(lock)) => match remove(base, &dir, entry, &lock) {
            Ok(()) => Found::Removed,
            Err(error) => {
                Found::Foreign(format!("its owner died, and it cannot be removed: {}", error_chain::one_line(&error)))
            }
        },
        Ok(Claim::Foreign(why)) => Found::Foreign(why),
        Err(error) => Found::Foreign(error_chain::one_line(&error)),
    }
}

/// The owner of a folder.
enum Claim {
    /// A running owner holds its lock.
    Alive,
    /// Its owner died. This is its lock, held.
    Dead(File),
    /// No cluster made it.
    Foreign(String),
}

/// Takes the lock of a cluster's folder if its owner died. The caller holds the gate.
fn claim(dir: &PrivateDir) -> io::Result<Claim> {
    let lock = match dir.open_file(LOCK.as_ref(), OFlag::empty()) {
        Ok(lock) => lock,
        Err(DirError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Claim::Foreign("it has no lock file of a cluster".to_owned()));
        }
        Err(DirError::Unsafe(fault)) => return Ok(Claim::Foreign(format!("its lock file is not ours: {fault}"))),
        Err(DirError::Io(error)) => return Err(error),
    };
    // An owner writes the mark first. One that died before that has left an empty file and nothing else.
    let is_bare = || Ok::<_, io::Error>(lock.metadata()?.len() == 0 && dir.names()?.len() == 1);
    let marked = marked_path(&lock)?;
    if marked.is_none() && !is_bare()? {
        return Ok(Claim::Foreign("its lock file was not written by a cluster".to_owned()));
    }
    match lock.try_lock() {
        Ok(()) if marked.as_deref().is_some_and(|path| path != dir.path()) => {
            let original = marked.unwrap_or_default();
            Ok(Claim::Foreign(format!("it was copied or renamed from `{}`", original.display())))
        }
        Ok(()) if dir.has(LOCK.as_ref(), &lock) => Ok(Claim::Dead(lock)),
        Ok(()) => Ok(Claim::Foreign("its lock file was removed just now".to_owned())),
        Err(TryLockError::WouldBlock) => Ok(Claim::Alive),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The folder that a lock file was made in, by the file's text; none if no cluster has written it.
fn marked_path(mut lock: &File) -> io::Result<Option<PathBuf>> {
    let mut text = Vec::new();
    lock.rewind()?;
    // The mark, and the longest path that `create` allows.
    lock.take((MARK.len() + SOCKET_PATH_MAX) as u64).read_to_end(&mut text)?;
    Ok(text.strip_prefix(MARK.as_bytes()).map(|path| PathBuf::from(OsStr::from_bytes(path))))
}

/// Removes a cluster's folder whose lock is held. The lock goes last: without it a new owner may use the folder.
fn remove(base: &PrivateDir, dir: &PrivateDir, name: &OsStr, lock: &File) -> io::Result<()> {
    dir.empty(Some(LOCK.as_ref()))?;
    if dir.has(LOCK.as_ref(), lock) {
        dir.remove(LOCK.as_ref())?;
    }
    base.remove_child(name, dir)
}

fn open_base(base: &Path) -> Result<PrivateDir, FolderError> {
    PrivateDir::open(base, Access::None).map_err(FolderError::of("open the folder", base))
}

fn is_absent(error: &FolderError) -> bool {
    matches!(error, FolderError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// Lets one process at a time make or remove folders. Otherwise the lock that a removal takes would look like an owner's.
fn gate(base: &PrivateDir) -> Result<File, FolderError> {
    let failed = FolderError::io("lock", base.path());
    let gate = base.reopen().map_err(&failed)?;
    let deadline = Instant::now() + GATE_TIMEOUT;
    loop {
        match gate.try_lock() {
            Ok(()) => return Ok(gate),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(GATE_RETRY),
            Err(TryLockError::WouldBlock) => {
                let text = format!("another process has held it for {} s", GATE_TIMEOUT.as_secs());
                return Err(failed(io::Error::new(io::ErrorKind::TimedOut, text)));
            }
        }
    }
}

fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// This user's processes that hold the lock of a cluster's folder under `base` that is not in its place. They are found by
/// their open files, since no path leads to them.
pub(crate) fn lost_owners(base: &Path) -> Vec<LostOwner> {
    let base = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
    let us = Uid::effective().as_raw();
    let Ok(our_mounts) = fs::read_link("/proc/self/ns/mnt") else { return Vec::new() };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut lost = Vec::new();
    for process in processes.flatten() {
        let pid = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        // Another mount namespace may have another folder at this path, as in a container.
        let sees_our_files = || fs::read_link(process.path().join("ns/mnt")).is_ok_and(|mounts| mounts == our_mounts);
        let ours = process.metadata().is_ok_and(|meta| meta.uid() == us) && sees_our_files();
        if let (Some(pid), true) = (pid, ours) {
            let files = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
            let names = files.filter_map(|file| lost_cluster(&base, &file.path()));
            lost.extend(names.map(|name| LostOwner { name, pid }));
        }
    }
    lost.sort_by(|one, other| (&one.name, one.pid).cmp(&(&other.name, other.pid)));
    lost.dedup();
    lost
}

/// The cluster whose lock is this open file of a process, if the lock is no longer in its place.
fn lost_cluster(base: &Path, file: &Path) -> Option<ClusterName> {
    let target = fs::read_link(file).ok()?;
    let target = target.as_os_str().as_bytes();
    // Only files of that name are opened: opening another file again, such as a device, may have effects.
    if !target.ends_with(b"/lock") && !target.ends_with(b"/lock (deleted)") || !fs::metadata(file).ok()?.is_file() {
        return None;
    }
    let lock = File::open(file).ok()?;
    let path = marked_path(&lock).ok()??;
    let is_in_place = fs::symlink_metadata(path.join(LOCK))
        .is_ok_and(|there| lock.metadata().is_ok_and(|open| is_same(&there, &open)));
    if path.parent() != Some(base) || is_in_place {
        return None;
    }
    ClusterName::new(path.file_name()?.to_str()?).ok()
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

    /// The folder of an owner that was killed, with files in it.
    fn dead(base: &Path, named: &str) -> PathBuf {
        let path = base.join(named);
        private(&path, &[(LOCK, &format!("{MARK}{}", path.display()))]);
        private(&path.join("sub"), &[("file", "x")]);
        path
    }

    #[test]
    fn the_folder_of_a_dead_owner_is_removed() {
        let (_dir, base) = base();
        let path = dead(&base, "dead");
        assert_eq!(survey(&base).unwrap(), Survey::default());
        assert!(!path.exists());
    }

    #[test]
    fn a_dead_owners_name_can_be_used_again() {
        let (_dir, base) = base();
        dead(&base, "dead");
        let folder = Folder::create(&base, &name("dead")).unwrap();
        assert!(!folder.path().join("sub").exists());
        assert_eq!(survey(&base).unwrap(), Survey { running: vec![name("dead")], ..Survey::default() });
        // Its lock says where it is now.
        assert_eq!(marked_path(&folder.lock).unwrap(), Some(base.join("dead")));
    }

    #[test]
    fn an_owner_that_died_before_it_wrote_its_mark_leaves_nothing_behind() {
        let (_dir, base) = base();
        let path = dead(&base, "dead");
        fs::remove_dir_all(path.join("sub")).unwrap();
        fs::write(path.join(LOCK), "").unwrap();
        assert_eq!(survey(&base).unwrap(), Survey::default());
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Folder::create(&base, &name("dead")).unwrap();
    }

    /// Puts something into a runtime folder that no cluster made. It stays, and is listed with the reason.
    fn check_foreign(put: impl FnOnce(&Path), entry: &str, why: &str) {
        let (_dir, base) = base();
        PrivateDir::make(&base).unwrap();
        put(&base);
        let before = listing(&base);
        assert!(before.len() > 1, "nothing is there");
        let survey = survey(&base).unwrap();
        assert_eq!(survey.running, []);
        let [foreign] = survey.foreign.as_slice() else { panic!("{entry}: {survey:?}") };
        assert_eq!(foreign.path, base.join(entry));
        assert!(foreign.why.contains(why), "{entry}: {}", foreign.why);
        if let Ok(name) = ClusterName::new(entry) {
            let refused = Folder::create(&base, &name).unwrap_err();
            assert!(matches!(refused, FolderError::Foreign { .. } | FolderError::Io { .. }), "{entry}: {refused}");
        }
        assert_eq!(listing(&base), before);
    }

    /// Every path below a folder, also through links.
    fn listing(folder: &Path) -> Vec<PathBuf> {
        let mut found = vec![folder.to_owned()];
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            found.extend(listing(&entry.path()));
        }
        found.sort();
        found
    }

    fn private(path: &Path, files: &[(&str, &str)]) {
        PrivateDir::make(path).unwrap();
        for (name, text) in files {
            fs::write(path.join(name), text).unwrap();
        }
    }

    #[test]
    fn what_no_cluster_has_made_stays_and_is_named() {
        let link = |base: &Path, to: &Path| std::os::unix::fs::symlink(to, base.join("other")).unwrap();
        let precious = tempfile::tempdir().unwrap();
        private(precious.path(), &[("a", "x"), (LOCK, MARK)]);
        check_foreign(|base| link(base, precious.path()), "other", "symbolic link");
        check_foreign(|base| link(base, Path::new("/nowhere")), "other", "symbolic link");
        check_foreign(|base| private(&base.join("other"), &[("a", "x")]), "other", "no lock file");
        check_foreign(
            |base| private(&base.join("other"), &[("a", "x"), (LOCK, "")]),
            "other",
            "not written by a cluster",
        );
        check_foreign(|base| private(&base.join("other"), &[(LOCK, "1234")]), "other", "not written by a cluster");
        check_foreign(|base| fs::write(base.join("other"), "x").unwrap(), "other", "not a folder");
        check_foreign(
            |base| private(&base.join("No name"), &[(LOCK, MARK)]),
            "No name",
            "no cluster can have that name",
        );
        let lock_elsewhere = |base: &Path| {
            private(&base.join("other"), &[("a", "x")]);
            std::os::unix::fs::symlink(precious.path().join(LOCK), base.join("other").join(LOCK)).unwrap();
        };
        check_foreign(lock_elsewhere, "other", "symbolic link");
        let second_name = |base: &Path| {
            private(&base.join("other"), &[("a", "x"), ("b", MARK)]);
            fs::hard_link(base.join("other/b"), base.join("other").join(LOCK)).unwrap();
        };
        check_foreign(second_name, "other", "one name");
        let open_to_all = |base: &Path| {
            private(&base.join("other"), &[("a", "x"), (LOCK, MARK)]);
            fs::set_permissions(base.join("other"), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        };
        check_foreign(open_to_all, "other", "mode 0777");
        let fifo = |base: &Path| {
            private(&base.join("other"), &[("a", "x")]);
            nix::unistd::mkfifo(&base.join("other").join(LOCK), nix::sys::stat::Mode::S_IRWXU).unwrap();
        };
        check_foreign(fifo, "other", "not a regular file");
        assert_eq!(listing(precious.path()).len(), 3);
    }

    #[test]
    fn a_copy_of_a_dead_owners_folder_stays_and_is_named() {
        let copy = |base: &Path| {
            dead(base, "dead");
            fs::rename(base.join("dead"), base.join("backup")).unwrap();
        };
        check_foreign(copy, "backup", "copied or renamed from");
    }

    #[test]
    fn an_owner_whose_cluster_has_ended_is_not_searched_for() {
        let (_dir, base) = base();
        let folder = Folder::create(&base, &name("a")).unwrap();
        fs::remove_dir_all(&base).unwrap();
        assert_eq!(survey(&base).unwrap().lost.len(), 1);
        folder.give_up();
        assert_eq!(survey(&base).unwrap(), Survey::default());
    }

    #[test]
    fn a_folder_that_cannot_be_looked_at_for_a_moment_is_not_lost() {
        let (dir, base) = base();
        let folder = Folder::create(&base, &name("a")).unwrap();
        let mode = |mode| fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        mode(0o000);
        let in_place = folder.is_in_place();
        mode(0o700);
        assert!(in_place);
    }

    #[test]
    fn a_link_in_a_dead_owners_folder_is_removed_and_not_followed() {
        let (_dir, base) = base();
        let precious = tempfile::tempdir().unwrap();
        private(precious.path(), &[("a", "x")]);
        std::os::unix::fs::symlink(precious.path(), dead(&base, "dead").join("link")).unwrap();
        assert_eq!(survey(&base).unwrap(), Survey::default());
        assert!(!base.join("dead").exists());
        assert!(precious.path().join("a").exists());
    }

    #[test]
    fn a_folder_that_comes_in_a_clusters_place_is_not_touched_at_its_end() {
        let (_dir, base) = base();
        let folder = Folder::create(&base, &name("a")).unwrap();
        assert!(folder.is_in_place());
        fs::rename(base.join("a"), base.join("b")).unwrap();
        private(&base.join("a"), &[("a", "x"), (LOCK, MARK)]);
        assert!(!folder.is_in_place());
        drop(folder);
        assert!(base.join("a/a").exists());
        assert!(base.join("a").join(LOCK).exists());
    }

    #[test]
    fn an_owner_whose_folder_was_removed_is_found() {
        for removed in ["base", "base/a", "base/a/lock"] {
            let (dir, base) = base();
            let folder = Folder::create(&base, &name("a")).unwrap();
            assert_eq!(survey(&base).unwrap().lost, []);
            let path = dir.path().join(removed);
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
            assert!(!folder.is_in_place(), "{removed}");
            let survey = survey(&base).unwrap();
            assert_eq!(survey.lost, [LostOwner { name: name("a"), pid: std::process::id() }], "{removed}");
            assert_eq!(survey.running, [], "{removed}");
        }
    }

    #[test]
    fn a_subfolder_is_removed_and_nothing_that_has_come_in_its_place() {
        let parent = tempfile::tempdir().unwrap();
        let cluster = parent.path().join("cluster");
        private(&cluster, &[]);
        let sub = Subfolder::make(&cluster, "sub").unwrap();
        fs::write(sub.path().join("a"), "x").unwrap();
        drop(sub);
        assert_eq!(listing(&cluster).len(), 1);
        let sub = Subfolder::make(&cluster, "sub").unwrap();
        fs::rename(&cluster, parent.path().join("moved")).unwrap();
        private(&cluster.join("sub"), &[("a", "x")]);
        drop(sub);
        assert!(cluster.join("sub/a").exists() && !parent.path().join("moved/sub").exists());
        std::os::unix::fs::symlink(&cluster, parent.path().join("link")).unwrap();
        Subfolder::make(&parent.path().join("link"), "sub").unwrap_err();
    }

    #[test]
    fn a_runtime_folder_that_is_a_link_is_refused() {
        let (dir, base) = base();
        PrivateDir::make(&base).unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&base, &link).unwrap();
        for refused in [survey(&link).map(drop), check(&link), Folder::create(&link, &name("a")).map(drop)] {
            assert!(matches!(refused, Err(FolderError::NotPrivate { fault: Fault::Link, .. })), "{refused:?}");
        }
        assert!(check(&dir.path().join("absent")).is_ok());
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
    fn a_cleanup_is_not_taken_for_an_owner() {
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
