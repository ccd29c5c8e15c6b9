//! The agent of a guest, of either kind, and the host's side of copying files with it.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use super::agent::{Agent, Copied, Ready};
use super::exec::{Command, ExecError, Execution};
use super::qga::Qga;

/// The agent of a guest.
#[derive(Debug, Clone)]
pub(crate) enum AnyAgent {
    /// Our own agent, in our own guest.
    Own(Agent),
    /// qemu-ga, in a user's image.
    Qga(Qga),
}

impl AnyAgent {
    /// Connects to our own agent, in a task of the current runtime.
    pub(crate) fn own(stream: UnixStream) -> Self {
        Self::Own(Agent::new(stream))
    }

    /// Connects to qemu-ga.
    pub(crate) fn qga(stream: UnixStream) -> Self {
        Self::Qga(Qga::new(stream))
    }

    /// Waits until the guest is ready. The caller sets the deadline.
    pub(crate) async fn ready(&self) -> Result<Ready, ExecError> {
        match self {
            Self::Own(agent) => agent.ready().await,
            Self::Qga(agent) => agent.ready().await,
        }
    }

    /// Starts a command.
    pub(crate) fn exec(&self, command: &Command) -> Result<Execution, ExecError> {
        match self {
            Self::Own(agent) => agent.exec(command),
            Self::Qga(agent) => agent.exec(command),
        }
    }

    /// Writes a file of the guest, completely or not at all.
    pub(crate) async fn put(
        &self,
        source: &mut (impl AsyncRead + Unpin),
        path: &[u8],
        mode: u32,
    ) -> Result<Copied, ExecError> {
        match self {
            Self::Own(agent) => agent.put(source, path, mode).await,
            Self::Qga(agent) => agent.put(source, path, mode).await,
        }
    }

    /// Reads a file of the guest.
    pub(crate) async fn get(&self, path: &[u8], sink: &mut (impl AsyncWrite + Unpin)) -> Result<Copied, ExecError> {
        match self {
            Self::Own(agent) => agent.get(path, sink).await,
            Self::Qga(agent) => agent.get(path, sink).await,
        }
    }

    /// Copies a regular file of the host into the guest. If the target ends in `/`, it is the directory for the file.
    pub(crate) async fn copy_in(&self, from: &Path, to: &Path) -> Result<Copied, ExecError> {
        let opened = async {
            // Checked before it is opened: opening a FIFO blocks until a process writes to it.
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

    /// Copies a regular file of the guest to the host. If the target is a directory, the file keeps its name.
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
    ExecError::Host { what: format!("cannot {act} `{}`", path.display()), source }
}
