//! What a folder in the cache has in it, written beside it, so that what is broken is noticed before a VM boots from it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::packages::Package;

/// What a built guest consists of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The kernel's version, as `uname -r` says it.
    pub release: String,
    /// The distribution's packages of which it has something.
    pub packages: Vec<Package>,
    /// The files.
    pub files: Vec<Record>,
    /// What the kernel itself takes of a guest's memory, in bytes.
    pub kernel_memory: u64,
    /// What the initramfs takes of it when it is unpacked, in bytes.
    pub unpacked: u64,
}

/// One file, as it was when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its name in the folder.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 sum in hexadecimal.
    pub sha256: String,
    /// Its inode and when it was last written, in nanoseconds: as long as they are the same, so is the content.
    stamp: (u64, i128),
}

/// Why something in the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A file has changed, or is gone.
    #[error("`{}` is not what was written", .0.display())]
    Changed(PathBuf),
    /// It cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl Manifest {
    /// The name of the file that has it.
    pub(super) const NAME: &str = "manifest.json";

    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join(Self::NAME)
    }

    /// The manifest of a folder; none if it has none.
    pub(super) fn read(folder: &Path) -> Result<Option<Self>, Damage> {
        let path = Self::path(folder);
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|_| Damage::Changed(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Damage::Unreadable { path, source }),
        }
    }

    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::write(Self::path(folder), serde_json::to_vec_pretty(self)?)
    }

    /// Adds a file that is complete.
    pub(super) fn record(&mut self, folder: &Path, name: &str) -> io::Result<()> {
        let path = folder.join(name);
        let metadata = fs::metadata(&path)?;
        let (size, stamp) = (metadata.len(), stamp(&metadata));
        self.files.push(Record { name: name.to_owned(), size, sha256: sum(&path)?, stamp });
        Ok(())
    }

    /// Whether the files are those that were recorded.
    ///
    /// The content is read only if something else than this cache has touched the file: hashing 70 MB at each start of
    /// a cluster would cost more than the start of a VM.
    pub(super) fn check(&self, folder: &Path) -> Result<(), Damage> {
        for record in &self.files {
            let path = folder.join(&record.name);
            let unreadable = |source: io::Error| match source.kind() {
                io::ErrorKind::NotFound => Damage::Changed(path.clone()),
                _ => Damage::Unreadable { path: path.clone(), source },
            };
            let metadata = fs::metadata(&path).map_err(unreadable)?;
            let touched = stamp(&metadata) != record.stamp;
            if metadata.len() != record.size || (touched && sum(&path).map_err(unreadable)? != record.sha256) {
                return Err(Damage::Changed(path));
            }
        }
        Ok(())
    }

    /// A sum over the files' sums: the same content has the same key.
    pub(super) fn key(&self) -> String {
        key(self.files.iter().flat_map(|file| [file.name.as_bytes(), file.sha256.as_bytes()]))
    }
}

/// A name for everything that shapes a thing.
pub(super) fn key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // With the length, so that moving a byte from one part to the next is another key.
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

fn stamp(metadata: &fs::Metadata) -> (u64, i128) {
    (metadata.ino(), i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()))
}

fn sum(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hex(&hash.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
