//! The record of the prepared namespaces of this host, so that all changes can be undone: their owners, and changes that no
//! name of ours shows. A reboot removes the record, as it removes the namespaces.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::unistd::Uid;
use serde::{Deserialize, Serialize};
use xcluster_core::addr::Ipv6Prefix;
use xcluster_core::host::namespace::NamedNetns;

use super::error::PreparedError;
use super::files::{self, Holder};
use super::index::Index;
use super::owner::Owner;
use super::settings::Changes;

/// Its folder, beside the user namespaces that `host::namespace` looks for.
const FOLDER: &str = "/run/xcluster";
const FILE: &str = "prepared.json";
/// Locked while a process reads and changes the record.
const LOCK: &str = "prepared.lock";

/// The contents of the record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The namespaces, including half-made ones.
    pub(super) namespaces: BTreeMap<Index, Entry>,
    /// The settings of the host that were changed for all of them.
    pub(super) settings: Changes,
    /// The folders of their files.
    pub(super) holders: Vec<Holder>,
}

/// A prepared namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) name: NamedNetns,
    pub(super) owner: Owner,
    pub(super) mtu: u16,
    pub(super) ipv6_prefix: Ipv6Prefix,
}

/// The record, locked by this process.
#[derive(Debug)]
pub(super) struct StateFile {
    pub(super) record: Record,
    _lock: File,
}

impl StateFile {
    /// Waits for the lock and reads the record. The lock ends with the process that holds it, at the latest.
    pub(super) async fn open() -> Result<Self, PreparedError> {
        let folder = Path::new(FOLDER);
        let failed = |action: &str, path: &Path| PreparedError::at(action, path);
        let lock = loop {
            match lock(folder).await {
                Ok(Some(lock)) => break lock,
                Ok(None) => return Err(PreparedError::NotOurs(folder.to_owned())),
                // The previous holder has just removed the lock, or also the folder.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed("lock", folder)(error)),
            }
        };
        let path = folder.join(FILE);
        let record = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| failed("read", &path)(error.into()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Record::default(),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        Ok(Self { record, _lock: lock })
    }

    /// Writes the record, whole or not at all.
    pub(super) fn save(&self) -> Result<(), PreparedError> {
        let path = Path::new(FOLDER).join(FILE);
        let new = path.with_extension("new");
        let text = serde_json::to_vec_pretty(&self.record).unwrap_or_default();
        let written = itself().truncate(true).mode(0o644).open(&new);
        let written = written.and_then(|mut file| file.write_all(&text)).and_then(|()| fs::rename(&new, &path));
        written.map_err(PreparedError::at("write", &path))
    }

    /// Releases the lock, and removes the files if the record is empty.
    pub(super) fn close(self) -> Result<(), PreparedError> {
        if self.record != Record::default() {
            return self.save();
        }
        let folder = Path::new(FOLDER);
        for file in [FILE, LOCK] {
            let path = folder.join(file);
            files::ignore_absent(fs::remove_file(&path)).map_err(PreparedError::at("remove", &path))?;
        }
        // Fails if the folder has foreign files.
        let _ = fs::remove_dir(folder);
        Ok(())
    }
}

/// Opens a file for writing, but not through a link.
fn itself() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).custom_flags(nix::libc::O_NOFOLLOW);
    options
}

/// Makes the folder, if needed, and waits for its lock. `None` if others may write there, since its contents are trusted.
/// `NotFound` if the lock was removed meanwhile, so that it protects nothing.
async fn lock(folder: &Path) -> io::Result<Option<File>> {
    files::make_folder(folder)?;
    let meta = fs::symlink_metadata(folder)?;
    if !meta.is_dir() || meta.uid() != Uid::effective().as_raw() || meta.mode() & 0o022 != 0 {
        return Ok(None);
    }
    let path = folder.join(LOCK);
    let file = itself().truncate(false).mode(0o600).open(&path)?;
    // The holder may be a task of this thread.
    let file = tokio::task::spawn_blocking(move || file.lock().map(|()| file)).await.map_err(io::Error::other)??;
    let same = fs::metadata(path).is_ok_and(|now| file.metadata().is_ok_and(|then| now.ino() == then.ino()));
    if same { Ok(Some(file)) } else { Err(io::ErrorKind::NotFound.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_reads_back() {
        let owner = Owner { name: "alice".into(), uid: 1000, gid: 1000 };
        let name = NamedNetns::of_user("alice", 1).unwrap();
        let entry = Entry { name, owner, mtu: 1500, ipv6_prefix: Ipv6Prefix::default() };
        let mut record = Record::default();
        record.namespaces.insert(Index::new(1).unwrap(), entry);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }
}
