//! The faults of scripts, and their errors at the backend API.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::net::NetError;

/// A failed call of a script. The text reads after "cannot set up net 1: ".
#[derive(Debug, thiserror::Error)]
#[error("`{call}` {what}{said}")]
pub(super) struct ScriptError {
    /// The call: `net-setup.sh 3 1`.
    pub(super) call: String,
    pub(super) what: Fault,
    /// The end of its standard error.
    pub(super) said: StderrLines,
}

/// The fault of a call.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("cannot be executed: {0}")]
    Spawn(io::Error),
    #[error("{0}")]
    Ended(String),
    #[error("did not end within {} and was killed", Seconds(*.0))]
    Late(Duration),
    #[error("has ended, but something that it started kept its standard output open for {} and was killed", Seconds(*.0))]
    LeftOpen(Duration),
    #[error("printed more than {} KiB", .0 / 1024)]
    TooMuch(usize),
    #[error("cannot be read from: {0}")]
    Io(io::Error),
    #[error("printed text that is not UTF-8")]
    NotText,
    #[error("printed a zero byte, which no option has")]
    Zero,
    #[error("printed `{0}`, but the first arg for QEMU must begin with `-`")]
    NoOption(String),
    #[error("printed JSON that cannot be used: {0}")]
    Json(serde_json::Error),
}

/// The last lines of standard error, for people; empty if there are none.
#[derive(Debug, Default)]
pub(super) struct StderrLines(pub(super) String);

impl fmt::Display for StderrLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(lines) = self;
        match lines.lines().count() {
            0 => Ok(()),
            1 => write!(f, ": {lines}"),
            _ => write!(f, ":\n{lines}"),
        }
    }
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f32())
    }
}

impl From<ScriptError> for NetError {
    fn from(error: ScriptError) -> Self {
        Self::Other { message: error.to_string(), source: None }
    }
}
