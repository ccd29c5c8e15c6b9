//! The host's side of our own agent, and its program. The source of the program is `agent/main.rs` of this package.

mod channel;
mod copy;
mod driver;
#[cfg(test)]
mod tests;

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

use self::channel::{AnswerDeadline, Channel};
use self::driver::{Driver, Request, State};
use super::exec::command_stream::{CommandStream, RequestSender};
use super::exec::{Command, ExecError, Execution, Stdin, StdinWriter};
use super::protocol::{self, Exec, HEADER, MAX_BODY, ToGuest};

pub(crate) use self::driver::Ready;

/// The agent's program, statically linked, for the architecture of this library.
pub(crate) static BINARY: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/xcluster-agent"));

/// A file that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Copied {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its permission bits, on both sides.
    pub mode: u32,
}

/// The host's end of the channel. It can be cloned and moved between threads. The channel is closed when the last clone and the
/// last execution are dropped.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    requests: mpsc::UnboundedSender<Request>,
    state: watch::Receiver<State>,
    newest: Arc<AtomicU32>,
}

impl Agent {
    /// Starts a task of the current runtime that talks to the agent over the other end of QEMU's chardev.
    pub(crate) fn new(stream: UnixStream) -> Self {
        let (requests, received) = mpsc::unbounded_channel();
        let (publish, state) = watch::channel(State::Booting);
        tokio::spawn(Driver::new(stream, received, publish).run());
        Self { requests, state, newest: Arc::new(AtomicU32::new(0)) }
    }

    /// Waits until the agent says that the guest is ready. The caller sets the deadline, which depends on the accelerator.
    pub(crate) async fn ready(&self) -> Result<Ready, ExecError> {
        let mut state = self.state.clone();
        let state = state.wait_for(|state| !matches!(state, State::Booting)).await;
        match state.as_deref() {
            Ok(State::Ready(ready)) => Ok(ready.clone()),
            Ok(State::Ended(reason)) => Err(ExecError::Lost { reason: reason.clone() }),
            Ok(State::Booting) | Err(_) => Err(abandoned()),
        }
    }

    /// Starts a command. Must be called in a runtime, like [`Agent::new`]; the execution needs none.
    pub(crate) fn exec(&self, command: &Command) -> Result<Execution, ExecError> {
        let exec = Exec {
            argv: command.argv.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
            env: command.env.iter().map(|(n, v)| (n.as_bytes().to_vec(), v.as_bytes().to_vec())).collect(),
            cwd: command.cwd.as_ref().map_or_else(Vec::new, |cwd| cwd.as_bytes().to_vec()),
            stdin: command.stdin != Stdin::Null,
            timeout_ms: command.timeout.map_or(0, millis),
        };
        let mut command_stream = self.open(&ToGuest::Exec(exec), AnswerDeadline::Command(command.timeout))?;
        match &command.stdin {
            Stdin::Streamed => {}
            Stdin::Null => drop(command_stream.take_input()),
            Stdin::Bytes(bytes) => {
                if let Some(input) = command_stream.take_input() {
                    let (mut stdin, bytes) = (StdinWriter::new(input), bytes.clone());
                    // It is not an error if a command does not read all of its input.
                    tokio::spawn(async move { stdin.write_all(&bytes).await });
                }
            }
        }
        Ok(Execution::new(command_stream, command))
    }

    fn open(&self, opening: &ToGuest, answer_deadline: AnswerDeadline) -> Result<CommandStream, ExecError> {
        let id = self.newest.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut frame = Vec::new();
        protocol::encode(id, opening, &mut frame);
        if frame.len() > HEADER + MAX_BODY {
            return Err(ExecError::TooLong { bytes: frame.len() - HEADER, limit: MAX_BODY });
        }
        let (channel, (reports, credits)) = Channel::new(opening, answer_deadline);
        let requests = self.requests.clone();
        let requests = RequestSender::new(move |request| drop(requests.send(Request::Stream(id, request))));
        match self.requests.send(Request::Open { id, frame, channel }) {
            Ok(()) => Ok(CommandStream::new(requests, reports, Some(credits))),
            Err(_) => Err(match &*self.state.borrow() {
                State::Ended(reason) => ExecError::Lost { reason: reason.clone() },
                State::Booting | State::Ready(_) => abandoned(),
            }),
        }
    }
}

fn abandoned() -> ExecError {
    ExecError::Lost { reason: "the cluster has ended".into() }
}

/// Returns at least 1, because 0 means no timeout for the guest.
fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
