//! A running command.

use std::io::{self, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;

use super::command_stream::{CommandStream, Report};
use super::{Command, ExecError, Output, Status, StdinWriter};
use crate::guest::protocol::Stream as AgentStream;
use crate::name::NodeId;

const SIGKILL: i32 = 9;

/// An event of a running command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// It wrote to standard output; at most 32 KiB at a time.
    Stdout(Vec<u8>),
    /// It wrote to standard error.
    Stderr(Vec<u8>),
    /// It has ended, and all its output was reported.
    Exited(Status),
}

/// A command that runs in a guest. Dropping the value kills the command.
///
/// At most 256 KiB of output are buffered. A command whose output is not read then waits, as with a full pipe; other commands
/// are not affected. The value needs no runtime and can be moved between threads.
#[derive(Debug)]
pub struct Execution {
    command_stream: CommandStream,
    node: Option<NodeId>,
    command: String,
    max_output: u64,
}

impl Execution {
    pub(crate) fn new(command_stream: CommandStream, command: &Command) -> Self {
        Self { command_stream, node: None, command: command.to_string(), max_output: command.max_output }
    }

    /// Says which node it runs on.
    pub(crate) fn on(self, node: NodeId) -> Self {
        Self { node: Some(node), ..self }
    }

    /// Returns the next event; `None` after [`Event::Exited`]. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// The guest cannot run the command, or the connection to it is lost.
    pub async fn next(&mut self) -> Result<Option<Event>, ExecError> {
        event(self.command_stream.next().await?)
    }

    /// Returns the command's input at the first call, if the command was made with [`Command::stream_stdin`].
    pub fn take_stdin(&mut self) -> Option<StdinWriter> {
        self.command_stream.take_input().map(StdinWriter::new)
    }

    /// Sends a signal to the command's process group. Signal 2 lets `tcpdump` finish its file.
    pub fn signal(&self, number: i32) {
        self.command_stream.signal(number);
    }

    /// Kills the command and all processes of its session. Its earlier output and its status are still reported.
    pub fn kill(&self) {
        self.signal(SIGKILL);
    }

    /// Waits for the end and collects the output, up to the limit of [`Command::max_output`]. Closes the input if it was not
    /// taken.
    ///
    /// # Errors
    /// The guest cannot run the command, the connection to it is lost, or there is too much output. A command that was not
    /// successful is not an error here; see [`Output::ok`].
    pub async fn output(self) -> Result<Output, ExecError> {
        let (node, command, limit) = (self.node, self.command.clone(), self.max_output);
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut room = limit;
        let status = self.each(|is_stderr, bytes| {
            let too_much = || ExecError::TooMuchOutput { command: command.clone(), limit };
            room = room.checked_sub(bytes.len() as u64).ok_or_else(too_much)?;
            if is_stderr {
                stderr.extend_from_slice(bytes)
            } else {
                stdout.extend_from_slice(bytes)
            }
            Ok(())
        });
        let status = status.await?;
        Ok(Output { node, command, status, stdout, stderr })
    }

    /// Waits for the end and writes the output as it arrives, of any size. The command is killed if a writer fails.
    ///
    /// # Errors
    /// The guest cannot run the command, the connection to it is lost, or a writer fails.
    pub async fn copy_output(self, mut stdout: impl Write, mut stderr: impl Write) -> Result<Status, ExecError> {
        let local = |source: io::Error| ExecError::Host { what: "cannot write the command's output".into(), source };
        let status = self.each(|is_stderr, bytes| {
            if is_stderr { stderr.write_all(bytes) } else { stdout.write_all(bytes) }.map_err(local)
        });
        let status = status.await?;
        stdout.flush().and_then(|()| stderr.flush()).map_err(local)?;
        Ok(status)
    }

    async fn each(mut self, mut sink: impl FnMut(bool, &[u8]) -> Result<(), ExecError>) -> Result<Status, ExecError> {
        drop(self.take_stdin());
        loop {
            match self.next().await? {
                Some(Event::Stdout(bytes)) => sink(false, &bytes)?,
                Some(Event::Stderr(bytes)) => sink(true, &bytes)?,
                Some(Event::Exited(status)) => return Ok(status),
                // `next` has returned `Exited` before.
                None => return Err(ExecError::Lost { reason: "the command's end was already reported".into() }),
            }
        }
    }
}

/// The same as [`Execution::next`]: the events, then an end.
impl Stream for Execution {
    type Item = Result<Event, ExecError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let report = ready!(self.command_stream.poll_next(context));
        Poll::Ready(report.and_then(event).transpose())
    }
}

fn event(report: Option<Report>) -> Result<Option<Event>, ExecError> {
    Ok(match report {
        Some(Report::Data(AgentStream::Stdout, bytes)) => Some(Event::Stdout(bytes)),
        Some(Report::Data(AgentStream::Stderr, bytes)) => Some(Event::Stderr(bytes)),
        Some(Report::Ended(status)) => Some(Event::Exited(status)),
        Some(Report::Opened { .. } | Report::Complete { .. }) => {
            return Err(ExecError::Lost { reason: "its agent answered a command as if it were a file".into() });
        }
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::{Command, Execution};
    use crate::guest::exec::StdinWriter;

    fn is_send<T: Send>(value: T) -> T {
        value
    }

    #[test]
    fn executions_and_their_futures_can_be_sent_to_other_threads() {
        let _ = is_send::<Option<(Execution, StdinWriter, Command)>>(None);
        let _ = |mut execution: Execution| is_send(async move { execution.next().await });
        let _ = |execution: Execution| is_send(execution.output());
        let _ = |execution: Execution| is_send(execution.copy_output(Vec::new(), Vec::new()));
    }
}
