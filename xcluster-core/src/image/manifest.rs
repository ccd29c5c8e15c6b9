//! The list of the files in a folder of the cache. A VM must not boot from a damaged file, so each file has a checksum.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::packages::Package;
use crate::error_chain;

/// The name of the kernel in the folder of an image.
pub(super) const KERNEL: &str = "kernel";

/// The name of the initramfs in the folder of an image.
pub(super) const INITRAMFS: &str = "initramfs";

/// The content of a built image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    /// The kernel's version, as `uname -r` prints it.
    pub release: String,
    /// The distribution's packages whose files are in the image.
    pub packages: Vec<Package>,
    /// The files.
    pub files: Vec<Record>,
    /// The memory that the kernel itself takes in a guest, in bytes.
    pub kernel_memory: u64,
    /// The memory that the unpacked initramfs takes in a guest, in bytes.
    pub unpacked: u64,
}

/// One file, as it was when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// Its name in the folder.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its SHA-256 checksum in hexadecimal.
    pub sha256: String,
    /// Its inode and its modification time in nanoseconds. While both are unchanged, the content is unchanged.
    stamp: (u64, i128),
}

/// Why a folder of the cache cannot be used.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A file has changed or is missing.
    #[error("`{}` has changed since it was built, or is missing", .0.display())]
    Changed(PathBuf),
    /// A file cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

error_chain::readable_debug!(Damage);

impl Manifest {
    /// The name of the manifest's own file.
    pub(super) const NAME: &str = "manifest.json";

    pub(super) fn path(folder: &Path) -> PathBuf {
        folder.join(Self::NAME)
    }

    /// Reads the manifest of a folder; `None` if the folder has none.
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

    /// Adds a complete file.
    pub(super) fn record(&mut self, folder: &Path, name: &str) -> io::Result<()> {
        let path = folder.join(name);
        let metadata = fs::metadata(&path)?;
        let (size, stamp) = (metadata.len(), stamp(&metadata));
        self.files.push(Record { name: name.to_owned(), size, sha256: sum(&path)?, stamp });
        Ok(())
    }

    /// Checks that the files are unchanged.
    ///
    /// The content is read only if the inode or the modification time has changed: to hash 70 MB at each start of a cluster
    /// would take longer than the start of a VM.
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

    /// Returns a checksum over the files' checksums: the same content has the same key.
    pub(super) fn key(&self) -> String {
        key(self.files.iter().flat_map(|file| [file.name.as_bytes(), file.sha256.as_bytes()]))
    }
}

/// Returns a checksum of all parts, for the name of an entry in the cache.
pub(super) fn key<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // With the length, so that a byte moved from one part to the next gives another key.
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
