//! The messages between one command (or copy) and the task that talks to the agent. The user's side needs no runtime: the
//! task has the descriptors and the timers.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{Semaphore, mpsc};

use super::{ExecError, Status};
use crate::guest::protocol::{self, Stream};

/// A report of the agent's side. `Ended`, `Complete` or an error is the last report.
#[derive(Debug)]
pub(crate) enum Report {
    /// Output, or content of a file.
    Data(Stream, Vec<u8>),
    /// The file to read was opened.
    Opened {
        /// Its permission bits.
        mode: u32,
    },
    /// The command has ended.
    Ended(Status),
    /// The file is complete.
    Complete {
        /// Its length.
        total: u64,
    },
}

/// A request of the user's side.
#[derive(Debug)]
pub(crate) enum StreamRequest {
    /// Data with this many credits was consumed.
    Consumed(u32),
    /// Input, or content of a file.
    Data(Vec<u8>),
    /// The end of input.
    Eof {
        /// The total number of bytes.
        total: u64,
    },
    /// A signal to the command.
    Signal(i32),
    /// The user has dropped the command.
    Cancel,
}

/// Sends requests to the agent's side. When the agent is gone, requests are dropped; a report says so.
#[derive(Clone)]
pub(crate) struct RequestSender(Arc<dyn Fn(StreamRequest) + Send + Sync>);

impl RequestSender {
    pub(crate) fn new(send: impl Fn(StreamRequest) + Send + Sync + 'static) -> Self {
        Self(Arc::new(send))
    }

    pub(crate) fn send(&self, request: StreamRequest) {
        (self.0)(request);
    }
}

impl fmt::Debug for RequestSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestSender")
    }
}

/// The user's end. Dropping it before the last report cancels the command.
#[derive(Debug)]
pub(crate) struct CommandStream {
    requests: RequestSender,
    reports: mpsc::UnboundedReceiver<Result<Report, ExecError>>,
    input: Option<Input>,
    finished: bool,
}

impl CommandStream {
    /// `credits` limit the input that may be sent. The agent's side adds credits, and closes them when the command takes no
    /// more input.
    pub(crate) fn new(
        requests: RequestSender,
        reports: mpsc::UnboundedReceiver<Result<Report, ExecError>>,
        credits: Option<Arc<Semaphore>>,
    ) -> Self {
        let input = credits.map(|credits| Input { requests: requests.clone(), credits, total: 0 });
        Self { requests, reports, input, finished: false }
    }

    /// Returns the next report; `None` after the last one. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<Report>, ExecError> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The same, for a stream.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Report>, ExecError>> {
        if self.finished {
            return Poll::Ready(Ok(None));
        }
        let report = ready!(self.reports.poll_recv(context));
        let report = report.unwrap_or_else(|| Err(ExecError::Lost { reason: "the cluster has ended".into() }));
        match &report {
            Ok(Report::Data(_, bytes)) => self.requests.send(StreamRequest::Consumed(protocol::cost(bytes.len()))),
            Ok(Report::Opened { .. }) => {}
            Ok(Report::Ended(_) | Report::Complete { .. }) | Err(_) => self.finished = true,
        }
        Poll::Ready(report.map(Some))
    }

    /// Returns the input at the first call.
    pub(crate) fn take_input(&mut self) -> Option<Input> {
        self.input.take()
    }

    pub(crate) fn signal(&self, number: i32) {
        self.requests.send(StreamRequest::Signal(number));
    }
}

impl Drop for CommandStream {
    fn drop(&mut self) {
        if !self.finished {
            self.requests.send(StreamRequest::Cancel);
        }
    }
}

/// Data for the guest. Only [`Input::finish`] completes it: data that is dropped before that counts as incomplete.
#[derive(Debug)]
pub(crate) struct Input {
    requests: RequestSender,
    credits: Arc<Semaphore>,
    total: u64,
}

impl Input {
    /// Sends all bytes. Waits while the guest does not take them; a broken pipe if it takes no more.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        for chunk in bytes.chunks(protocol::CHUNK) {
            let credits = self.credits.acquire_many(protocol::cost(chunk.len())).await;
            credits.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?.forget();
            self.total += chunk.len() as u64;
            self.requests.send(StreamRequest::Data(chunk.to_vec()));
        }
        Ok(())
    }

    /// Marks the end of the data and returns the number of bytes.
    pub(crate) fn finish(&self) -> u64 {
        self.requests.send(StreamRequest::Eof { total: self.total });
        self.total
    }
}

/// Standard input of a running command. Dropping it closes the input.
#[derive(Debug)]
pub struct StdinWriter(Input);

impl StdinWriter {
    pub(crate) fn new(input: Input) -> Self {
        Self(input)
    }

    /// Writes all bytes. Waits while the command does not read.
    ///
    /// # Errors
    /// A broken pipe: the command has closed its input or has ended.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }
}

impl Drop for StdinWriter {
    fn drop(&mut self) {
        self.0.finish();
    }
}
