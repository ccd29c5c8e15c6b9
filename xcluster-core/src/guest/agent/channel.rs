//! One channel as the host accounts for it: what the guest may send, what it was sent, how long it may keep silent.
//! A guest is not trusted: whatever it says is checked here or in the driver before anybody sees it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use super::protocol::{self, End, FromGuest, ToGuest, WINDOW};
use crate::guest::exec::command_stream::{Report, StreamRequest};
use crate::guest::exec::{ExecError, Status, printable};

/// How long after a command's own deadline its end may be reported: a guest under TCG on a loaded host is slow, and its
/// clock stands still while it is paused.
const GRACE: Duration = Duration::from_secs(10);

/// How long a copy may stand still while the guest is the one to move.
const STALL: Duration = Duration::from_secs(60);

/// A grant is sent when it has come to this, so that not every chunk makes a frame.
const GRANT: u32 = WINDOW / 4;

/// The longest reason of a guest that is passed on.
const LONGEST_TEXT: usize = 1024;

/// How long to wait for the guest.
#[derive(Debug, Clone, Copy)]
pub(super) enum AnswerDeadline {
    /// Until the command's deadline, which the guest enforces, and a little longer; for ever without one.
    Command(Option<Duration>),
    /// As long as it moves.
    Copy,
}

/// The driver's end of a lane.
#[derive(Debug)]
pub(super) struct Channel {
    reports: mpsc::UnboundedSender<Result<Report, ExecError>>,
    credits: Arc<Semaphore>,
    /// Whether it is a file to read: only that may be opened, and once.
    opens: bool,
    /// Credits' worth of data that the user has not consumed.
    unconsumed: u32,
    /// Consumed, but not yet granted anew.
    consumed: u32,
    /// Credits' worth of input that the guest has not consumed.
    unacknowledged: u32,
    /// Whether the guest was told that the input has ended.
    eof: bool,
    answer_deadline: AnswerDeadline,
    expires: Option<Instant>,
}

/// The other end of a channel: what it hears, and credits for what it sends.
pub(super) type UserEnd = (mpsc::UnboundedReceiver<Result<Report, ExecError>>, Arc<Semaphore>);

impl Channel {
    /// A channel that begins with this message, and its other end.
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

    /// Takes what the guest says; whether it was the last word, or what is wrong with it.
    pub(super) fn hear(&mut self, message: FromGuest) -> Result<bool, &'static str> {
        if matches!(self.answer_deadline, AnswerDeadline::Copy) {
            self.expires = self.answer_deadline.deadline();
        }
        match message {
            FromGuest::Data { stream, bytes } => {
                let cost = protocol::cost(bytes.len());
                if self.unconsumed + self.consumed + cost > WINDOW {
                    return Err("more data than it was granted");
                }
                self.unconsumed += cost;
                self.report(Ok(Report::Data(stream, bytes)));
            }
            FromGuest::Credit(credit) => {
                let left = self.unacknowledged.checked_sub(credit);
                self.unacknowledged = left.ok_or("credit for data that it was not sent")?;
                self.credits.add_permits(credit as usize);
            }
            FromGuest::InputClosed => self.credits.close(),
            FromGuest::Opened { mode, .. } => {
                if !std::mem::take(&mut self.opens) {
                    return Err("of a file that was not asked for");
                }
                self.report(Ok(Report::Opened { mode }));
            }
            FromGuest::Ended(end) => return Ok(self.report(Ok(Report::Ended(status(end))))),
            FromGuest::Complete { total } => return Ok(self.report(Ok(Report::Complete { total }))),
            FromGuest::Failed { errno, text } => return Ok(self.report(Err(refusal(errno, &text)))),
            FromGuest::Hello(_) => return Err("a greeting in the middle of a conversation"),
        }
        Ok(false)
    }

    /// Takes what the user's end orders; what the guest must be told of it.
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

    /// When the guest should have said something.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.expires
    }

    /// Whether the guest is overdue. It is not as long as it may be waiting for us: for room to send what it has, or for
    /// the rest of a file.
    pub(super) fn is_overdue(&mut self, now: Instant) -> Option<Duration> {
        self.expires.filter(|expires| *expires <= now)?;
        let waited = self.answer_deadline.grace();
        if self.unconsumed > 0 || (!self.eof && self.unacknowledged == 0) {
            self.expires = Some(now + waited);
            return None;
        }
        Some(waited)
    }

    /// Ends it with an error.
    pub(super) fn fail(self, error: ExecError) {
        self.report(Err(error));
    }

    /// Says true, for those reports that are the last one.
    fn report(&self, report: Result<Report, ExecError>) -> bool {
        // Nobody listening means that a cancellation is on its way.
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
