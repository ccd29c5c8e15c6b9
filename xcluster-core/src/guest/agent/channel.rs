//! The host's state of one channel: the credits in both directions, and the deadline for the guest's answer. A guest is not
//! trusted: its messages are checked here or in the driver before they are passed on.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::guest::exec::command_stream::{Report, StreamRequest};
use crate::guest::exec::{ExecError, Status, printable};
use crate::guest::protocol::{self, End, FromGuest, ToGuest, WINDOW};

/// How long after a command's timeout its end may be reported. A guest under TCG on a loaded host is slow, and its clock stops
/// while it is paused.
const GRACE: Duration = Duration::from_secs(10);

/// How long a copy may make no progress while the host waits for the guest.
const STALL: Duration = Duration::from_secs(60);

/// Credits are returned to the guest once they reach this number, so that not every chunk causes a frame.
const GRANT: u32 = WINDOW / 4;

/// The maximum length of a reason from a guest that is passed on, in bytes.
const LONGEST_TEXT: usize = 1024;

/// How long to wait for the guest.
#[derive(Debug, Clone, Copy)]
pub(super) enum AnswerDeadline {
    /// Until [`GRACE`] after the command's timeout, which the guest enforces; forever without a timeout.
    Command(Option<Duration>),
    /// As long as the copy makes progress.
    Copy,
}

/// The driver's end of a command stream.
#[derive(Debug)]
pub(super) struct Channel {
    reports: mpsc::UnboundedSender<Result<Report, ExecError>>,
    credits: Arc<Semaphore>,
    /// Whether the guest may report that the file was opened: once, and only for a file to read.
    opens: bool,
    /// Credits of data that the user has not consumed.
    unconsumed: u32,
    /// Credits of data that the user has consumed, and that are not yet returned to the guest.
    consumed: u32,
    /// Credits of input that the guest has not consumed.
    unacknowledged: u32,
    /// Whether the end of the input was sent to the guest.
    eof: bool,
    answer_deadline: AnswerDeadline,
    expires: Option<Instant>,
}

/// The user's end of a channel: its reports, and the credits for its input.
pub(super) type UserEnd = (mpsc::UnboundedReceiver<Result<Report, ExecError>>, Arc<Semaphore>);

impl Channel {
    /// Makes a channel that begins with this message, and its other end.
    pub(super) fn new(opening: &ToGuest, answer_deadline: AnswerDeadline) -> (Self, UserEnd) {
        let (reports, received) = mpsc::unbounded_channel();
        let credits = Arc::new(Semaphore::new(WINDOW as usize));
        let channel = Self {
            reports,
            credits: Arc::clone(&credits),
            opens: matches!(opening, ToGuest::Get { .. }),
            unconsumed: 0,
            consumed: 0,
            unacknowledged: 0,
            eof: !matches!(opening, ToGuest::Put { .. }),
            answer_deadline,
            expires: answer_deadline.deadline(),
        };
        (channel, (received, credits))
    }

    /// Handles a message of the guest. Returns whether it was the last one, or what is wrong with it.
    pub(super) fn hear(&mut self, message: FromGuest) -> Result<bool, &'static str> {
        if matches!(self.answer_deadline, AnswerDeadline::Copy) {
            self.expires = self.answer_deadline.deadline();
        }
        match message {
            FromGuest::Data { stream, bytes } => {
                let cost = protocol::cost(bytes.len());
                if self.unconsumed + self.consumed + cost > WINDOW {
                    return Err("more data than it had credits for");
                }
                self.unconsumed += cost;
                self.report(Ok(Report::Data(stream, bytes)));
            }
            FromGuest::Credit(credit) => {
                let left = self.unacknowledged.checked_sub(credit);
                self.unacknowledged = left.ok_or("credits for data that was not sent to it")?;
                self.credits.add_permits(credit as usize);
            }
            FromGuest::InputClosed => self.credits.close(),
            FromGuest::Opened { mode, .. } => {
                if !std::mem::take(&mut self.opens) {
                    return Err("the mode of a file that was not requested");
                }
                self.report(Ok(Report::Opened { mode }));
            }
            FromGuest::Ended(end) => return Ok(self.report(Ok(Report::Ended(status(end))))),
            FromGuest::Complete { total } => return Ok(self.report(Ok(Report::Complete { total }))),
            FromGuest::Failed { errno, text } => return Ok(self.report(Err(refusal(errno, &text)))),
            FromGuest::Hello(_) => return Err("a hello in the channel of a command"),
        }
        Ok(false)
    }

    /// Handles a request of the user's end. Returns the message to send to the guest, if any.
    pub(super) fn apply(&mut self, request: StreamRequest) -> Option<ToGuest> {
        Some(match request {
            StreamRequest::Consumed(cost) => {
                self.unconsumed -= cost;
                self.consumed += cost;
                if self.consumed < GRANT {
                    return None;
                }
                ToGuest::Credit(std::mem::take(&mut self.consumed))
            }
            StreamRequest::Data(bytes) => {
                self.unacknowledged += protocol::cost(bytes.len());
                ToGuest::Data(bytes)
            }
            StreamRequest::Eof { total } => {
                self.eof = true;
                ToGuest::Eof { total }
            }
            StreamRequest::Signal(number) => ToGuest::Signal(number),
            StreamRequest::Cancel => ToGuest::Cancel,
        })
    }

    /// When the guest's answer is overdue.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.expires
    }

    /// Returns how long the host has waited, if the guest's answer is overdue. It is not overdue while the guest may be waiting
    /// for the host: for credits, or for the rest of a file.
    pub(super) fn is_overdue(&mut self, now: Instant) -> Option<Duration> {
        self.expires.filter(|expires| *expires <= now)?;
        let waited = self.answer_deadline.grace();
        if self.unconsumed > 0 || (!self.eof && self.unacknowledged == 0) {
            self.expires = Some(now + waited);
            return None;
        }
        Some(waited)
    }

    /// Ends the channel with an error.
    pub(super) fn fail(self, error: ExecError) {
        self.report(Err(error));
    }

    /// Sends a report. Returns true, for the callers that send the last one.
    fn report(&self, report: Result<Report, ExecError>) -> bool {
        // If the user's end is dropped, a cancellation will follow.
        let _ = self.reports.send(report);
        true
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.credits.close();
    }
}

impl AnswerDeadline {
    fn deadline(self) -> Option<Instant> {
        match self {
            Self::Command(timeout) => Instant::now().checked_add(timeout?.checked_add(GRACE)?),
            Self::Copy => Some(Instant::now() + STALL),
        }
    }

    fn grace(self) -> Duration {
        match self {
            Self::Command(_) => GRACE,
            Self::Copy => STALL,
        }
    }
}

fn status(end: End) -> Status {
    match end {
        End::Code(code) => Status::Code(code),
        End::Signal(signal) => Status::Signal(signal),
        End::TimedOut => Status::TimedOut,
    }
}

fn refusal(errno: i32, text: &[u8]) -> ExecError {
    let what = printable(&text[..text.len().min(LONGEST_TEXT)]);
    match errno {
        0 => ExecError::Incomplete { what },
        errno => ExecError::Refused { what, source: io::Error::from_raw_os_error(errno) },
    }
}
