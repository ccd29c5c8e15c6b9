//! The agent of a guest, whichever it is: one thing for `cluster` to talk to.

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use super::agent::{Agent, Ready};
use super::copy::Copied;
use super::exec::{Command, ExecError, Execution};
use super::qga::Qga;

/// How a guest is spoken to.
#[derive(Debug, Clone)]
pub(crate) enum AnyAgent {
    /// Our own program in our own guest.
    Own(Agent),
    /// QEMU's in a user's image.
    Qga(Qga),
}

impl AnyAgent {
    /// Begins to talk to our own agent, in tasks of the current runtime.
    pub(crate) fn own(stream: UnixStream) -> Self {
        Self::Own(Agent::new(stream))
    }

    /// Begins to talk to qemu-ga.
    pub(crate) fn qga(stream: UnixStream) -> Self {
        Self::Qga(Qga::new(stream))
    }

    /// Waits for the guest's word, without a deadline of its own.
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

    /// Writes a file of the guest, whole or not at all.
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
}
