//! The way between one command (or copy) and the agent that serves it, as messages. It needs no runtime on the user's
//! side: what takes time and descriptors is at the agent's end.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::sync::{Semaphore, mpsc};

use super::{ExecError, Status};
use crate::guest::agent::protocol::{self, Stream};

/// What the agent's side reports. Errors and the two kinds of end are the last one.
#[derive(Debug)]
pub(crate) enum Report {
    /// Output, or content of a file.
    Data(Stream, Vec<u8>),
    /// The file to read exists.
    Opened {
        /// Its permission bits.
        mode: u32,
    },
    /// The command has ended.
    Ended(Status),
    /// The file is whole.
    Complete {
        /// Its length.
        total: u64,
    },
}

/// What the user's side orders.
#[derive(Debug)]
pub(crate) enum StreamRequest {
    /// So many credits' worth of data is off our hands.
    Consumed(u32),
    /// Input, or content of a file.
    Data(Vec<u8>),
    /// The end of input.
    Eof {
        /// How many bytes it was.
        total: u64,
    },
    /// A signal to the command.
    Signal(i32),
    /// Nobody is interested any more.
    Cancel,
}

/// Where orders go. They are dropped when the agent is gone, which the reports will tell.
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
        f.write_str("Orders")
    }
}

/// The user's end. Dropped before the last report, it cancels.
#[derive(Debug)]
pub(crate) struct CommandStream {
    requests: RequestSender,
    reports: mpsc::UnboundedReceiver<Result<Report, ExecError>>,
    input: Option<Input>,
    finished: bool,
}

impl CommandStream {
    /// `credits` are what input may be sent; the agent's side adds to them, and closes them when input is useless.
    pub(crate) fn new(
        requests: RequestSender,
        reports: mpsc::UnboundedReceiver<Result<Report, ExecError>>,
        credits: Option<Arc<Semaphore>>,
    ) -> Self {
        let input = credits.map(|credits| Input { requests: requests.clone(), credits, total: 0 });
        Self { requests, reports, input, finished: false }
    }

    /// The next report; none after the last one. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<Report>, ExecError> {
        std::future::poll_fn(|context| self.poll_next(context)).await
    }

    /// The same, for a stream.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Report>, ExecError>> {
        if self.finished {
            return Poll::Ready(Ok(None));
        }
        let report = ready!(self.reports.poll_recv(context));
        let report = report.unwrap_or_else(|| Err(ExecError::Lost { reason: "its cluster has ended".into() }));
        match &report {
            Ok(Report::Data(_, bytes)) => self.requests.send(StreamRequest::Consumed(protocol::cost(bytes.len()))),
            Ok(Report::Opened { .. }) => {}
            Ok(Report::Ended(_) | Report::Complete { .. }) | Err(_) => self.finished = true,
        }
        Poll::Ready(report.map(Some))
    }

    /// What can be sent to the guest, once.
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

/// Data for the guest. Its end must be said: dropped before that, it was cut short.
#[derive(Debug)]
pub(crate) struct Input {
    requests: RequestSender,
    credits: Arc<Semaphore>,
    total: u64,
}

impl Input {
    /// Sends all of it, waiting while the guest does not take it; a broken pipe if it takes no more.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        for chunk in bytes.chunks(protocol::CHUNK) {
            let credits = self.credits.acquire_many(protocol::cost(chunk.len())).await;
            credits.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?.forget();
            self.total += chunk.len() as u64;
            self.requests.send(StreamRequest::Data(chunk.to_vec()));
        }
        Ok(())
    }

    /// Says that this was all, and how much it was.
    pub(crate) fn finish(&self) -> u64 {
        self.requests.send(StreamRequest::Eof { total: self.total });
        self.total
    }
}

/// Standard input of a running command. Dropping it is the end of the input.
#[derive(Debug)]
pub struct StdinWriter(Input);

impl StdinWriter {
    pub(crate) fn new(input: Input) -> Self {
        Self(input)
    }

    /// Writes all of it, waiting while the command does not read. The error is a broken pipe: the command has closed its
    /// input or has ended.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await
    }
}

impl Drop for StdinWriter {
    fn drop(&mut self) {
        self.0.finish();
    }
}
