//! Errors of monitor commands.

use std::time::Duration;

use thiserror::Error;

use crate::error_chain;
use crate::qemu::json_lines::LineError;

/// Why a monitor command failed.
#[derive(Error)]
#[non_exhaustive]
pub enum QmpError {
    /// QEMU refused.
    #[error("QEMU refused `{command}`: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's name for the kind of error.
        class: String,
        /// QEMU's explanation.
        reason: String,
    },
    /// QEMU did not answer in time.
    #[error("QEMU did not answer `{command}` within {within:?}")]
    Silent {
        /// The command.
        command: String,
        /// How long the host has waited.
        within: Duration,
    },
    /// QEMU has ended.
    #[error("QEMU's monitor is closed")]
    Closed,
    /// The connection failed, or QEMU sent something that is not QMP.
    #[error("cannot read or write QEMU's monitor")]
    Line(#[source] LineError),
    /// The answer does not have the form that the command defines.
    #[error("QEMU's answer to `{command}` is malformed")]
    Answer {
        /// The command.
        command: String,
        /// The error of the parser.
        #[source]
        source: serde_json::Error,
    },
}

error_chain::readable_debug!(QmpError);

impl From<LineError> for QmpError {
    fn from(error: LineError) -> Self {
        match error {
            LineError::Closed => Self::Closed,
            other => Self::Line(other),
        }
    }
}
