//! The collected result of a command.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

use super::{ExecError, Status};
use crate::name::NodeId;

/// How much of the end of a failed command's output its error shows, in bytes.
const TAIL: usize = 1024;

/// A command's result with its whole output. It is serialised with the output as text, with U+FFFD in place of bytes that are
/// not UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Output {
    /// The node that ran it, if it is one of a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The command, for messages.
    pub command: String,
    /// How it ended.
    pub status: Status,
    /// What it wrote to standard output.
    #[serde(serialize_with = "as_text")]
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    #[serde(serialize_with = "as_text")]
    pub stderr: Vec<u8>,
}

impl Output {
    /// Returns the output if the command was successful.
    ///
    /// # Errors
    /// The command was not successful; the error shows the end of its output.
    pub fn ok(self) -> Result<Self, ExecError> {
        if self.status.success() {
            return Ok(self);
        }
        let shown = if self.stderr.trim_ascii().is_empty() { &self.stdout } else { &self.stderr };
        let tail = tail(shown);
        Err(ExecError::Unsuccessful { node: self.node, command: self.command, status: self.status, tail })
    }

    /// Returns standard output as text without leading and trailing white space, with U+FFFD in place of bytes that are not
    /// UTF-8.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.stdout.trim_ascii())
    }
}

fn tail(bytes: &[u8]) -> String {
    let bytes = bytes.trim_ascii();
    printable(&bytes[bytes.len().saturating_sub(TAIL)..])
}

/// Returns text from a guest without control characters, which could change the state of a user's terminal.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

fn as_text<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::{Output, Status};

    fn output(status: Status, stdout: &str, stderr: &str) -> Output {
        Output { node: None, command: "x".into(), status, stdout: stdout.into(), stderr: stderr.into() }
    }

    #[test]
    fn a_failure_shows_the_end_of_the_output() {
        let long = format!("{}\x1b[2Jno route\n", "noise ".repeat(1000));
        let error = output(Status::Code(2), "some", &long).ok().unwrap_err().to_string();
        assert!(error.starts_with("`x` exited with code 2: "), "{error}");
        assert!(error.ends_with("[2Jno route") && !error.contains('\x1b') && error.len() < 1200, "{error}");
        let error = output(Status::TimedOut, "half done\n", " ").ok().unwrap_err().to_string();
        assert_eq!(error, "`x` timed out and was killed: half done");
    }

    #[test]
    fn output_is_text_in_json() {
        let json = serde_json::to_value(output(Status::Signal(9), "a\n", "")).unwrap();
        let expected = serde_json::json!({"command": "x", "status": {"signal": 9}, "stdout": "a\n", "stderr": ""});
        assert_eq!(json, expected);
    }
}
