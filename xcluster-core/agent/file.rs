//! The files of copies in both directions, read and written in chunks.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::sys;

const O_NONBLOCK: i32 = 0o4000;

/// A file being written. It has another name in the same folder until it is complete; if it is dropped before that, it is removed.
#[derive(Debug)]
pub(crate) struct Put {
    file: File,
    part: PathBuf,
    target: PathBuf,
    mode: u32,
    received: u64,
}

impl Put {
    /// Begins a file. An existing file is replaced when the new one is complete; a link to a file is followed.
    pub(crate) fn begin(path: &Path, mode: u32, channel: u32) -> io::Result<Self> {
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if let Ok(existing) = fs::metadata(&target) {
            require_file(&existing)?;
        }
        let Some(name) = target.file_name() else { return Err(io::Error::from_raw_os_error(sys::EISDIR)) };
        let mut part = std::ffi::OsString::from(".");
        part.push(name);
        part.push(format!(".{}-{channel}.part", std::process::id()));
        let part = target.with_file_name(part);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        Ok(Self { file, part, target, mode, received: 0 })
    }

    /// Appends content.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.received += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Renames the file to its target, if it has all bytes.
    pub(crate) fn complete(self, total: u64) -> io::Result<u64> {
        if self.received != total {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("{} of {total} bytes arrived", self.received),
            ));
        }
        self.file.set_permissions(Permissions::from_mode(self.mode & 0o7777))?;
        fs::rename(&self.part, &self.target)?;
        Ok(total)
    }
}

impl Drop for Put {
    fn drop(&mut self) {
        // An error is normal: after the rename the file does not exist any more.
        let _ = fs::remove_file(&self.part);
    }
}

/// A file being read.
#[derive(Debug)]
pub(crate) struct Get {
    file: File,
    /// The permission bits when it was opened.
    pub(crate) mode: u32,
    /// The size when it was opened. It is zero for files of /proc, which have content all the same.
    pub(crate) size: u64,
    sent: u64,
}

impl Get {
    /// Opens a regular file. Other kinds could block the agent.
    pub(crate) fn begin(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
        let metadata = file.metadata()?;
        require_file(&metadata)?;
        Ok(Self { file, mode: metadata.mode() & 0o7777, size: metadata.size(), sent: 0 })
    }

    /// Reads the next bytes; returns the total length at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Result<usize, u64>> {
        match self.file.read(buffer)? {
            0 if self.sent < self.size => {
                let text = format!("the file shrank from {} to {} bytes while it was read", self.size, self.sent);
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, text))
            }
            0 => Ok(Err(self.sent)),
            count => {
                self.sent += count as u64;
                Ok(Ok(count))
            }
        }
    }
}

fn require_file(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        Ok(())
    } else if metadata.is_dir() {
        Err(io::Error::from_raw_os_error(sys::EISDIR))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}
