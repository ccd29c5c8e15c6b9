//! Why QEMU did not do what it was told.

use std::time::Duration;

use thiserror::Error;

use crate::qemu::json_lines::LineError;

/// Why a monitor command failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QmpError {
    /// QEMU refused.
    #[error("QEMU refused `{command}`: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's word for the kind of error.
        class: String,
        /// QEMU's explanation.
        reason: String,
    },
    /// QEMU did not answer in time.
    #[error("QEMU did not answer `{command}` within {within:?}")]
    Silent {
        /// The command, or what was awaited.
        command: String,
        /// How long it had.
        within: Duration,
    },
    /// QEMU has ended.
    #[error("QEMU's monitor is closed")]
    Closed,
    /// What it says is no QMP.
    #[error("QEMU's monitor makes no sense")]
    Line(#[source] LineError),
    /// What it says is not what the command answers.
    #[error("QEMU's answer to `{command}` is not understood")]
    Answer {
        /// The command.
        command: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl From<LineError> for QmpError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Closed => Self::Closed,
            other => Self::Line(other),
        }
    }
}
