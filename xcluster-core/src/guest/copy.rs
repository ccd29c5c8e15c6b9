//! Copying files between this host and a guest: the host's side of it, whole or not at all. How bytes travel is the agent's
//! matter.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tokio::fs::File;

use super::any_agent::AnyAgent;
use super::exec::ExecError;

/// A file that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its permission bits, on both sides.
    pub mode: u32,
}

impl AnyAgent {
    /// Copies a regular file of this host into the guest. A target that ends in `/` is a directory to put it in.
    pub(crate) async fn copy_in(&self, from: &Path, to: &Path) -> Result<Copied, ExecError> {
        let opened = async {
            // Looked at first: to open a pipe takes until somebody writes to it.
            let metadata = tokio::fs::metadata(from).await?;
            if metadata.is_file() {
                Ok((File::open(from).await?, metadata))
            } else {
                Err(io::ErrorKind::InvalidInput.into())
            }
        };
        let (mut file, metadata) = opened.await.map_err(|source| cannot("read", from, source))?;
        let to = inside(to, to.as_os_str().as_bytes().ends_with(b"/"), from);
        self.put(&mut file, to.as_os_str().as_bytes(), metadata.permissions().mode() & 0o7777).await
    }

    /// Copies a regular file of the guest to this host. A target that is a directory gets it under its own name.
    pub(crate) async fn copy_out(&self, from: &Path, to: &Path) -> Result<Copied, ExecError> {
        let to = inside(to, to.is_dir(), from);
        let local = |source| cannot("write", &to, source);
        let part = NamedTempFile::new_in(directory(&to)).map_err(local)?;
        let mut file = File::from_std(part.reopen().map_err(local)?);
        let copied = self.get(from.as_os_str().as_bytes(), &mut file).await?;
        let permissions = PermissionsExt::from_mode(copied.mode & 0o777);
        file.set_permissions(permissions).await.map_err(local)?;
        part.persist(&to).map_err(|error| local(error.error))?;
        Ok(copied)
    }
}

fn inside(target: &Path, is_directory: bool, source: &Path) -> PathBuf {
    match source.file_name() {
        Some(name) if is_directory => target.join(name),
        _ => target.to_owned(),
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn cannot(act: &str, path: &Path, source: io::Error) -> ExecError {
    ExecError::Local { what: format!("cannot {act} `{}`", path.display()), source }
}
