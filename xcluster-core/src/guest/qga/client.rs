//! The connection to qemu-ga: one request after the other. After a missing answer both sides first synchronise.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::error_chain::one_line;
use crate::guest::exec::{ExecError, printable};
use crate::qemu::json_lines::{LineError, LineReader, LineWriter, json_lines};

/// The longest line that is read: two streams of 16 MiB in base64, and the JSON around them.
const LONGEST_LINE: usize = 48 << 20;

/// The connection.
#[derive(Debug)]
pub(super) struct Client {
    reader: LineReader,
    writer: LineWriter,
    /// Whether the next line to be read is the answer to the next request.
    in_step: bool,
}

impl Client {
    pub(super) fn new(stream: UnixStream) -> Self {
        let (reader, writer) = json_lines(stream, LONGEST_LINE);
        Self { reader, writer, in_step: false }
    }

    /// Makes the next request synchronise first.
    pub(super) fn doubt(&mut self) {
        self.in_step = false;
    }

    /// Makes the agent forget a partly read request, and discards answers to earlier requests.
    pub(super) async fn synchronise(&mut self) -> Result<(), ExecError> {
        // A random number, so that answers to earlier attempts are recognised. QEMU 7 accepts 63 bits.
        let id = RandomState::new().hash_one(0) >> 12;
        let question = json!({ "execute": "guest-sync-delimited", "arguments": { "id": id } });
        self.writer.send_anew(&question).await.map_err(lost)?;
        loop {
            match self.reader.next().await {
                Ok(answer) if answer["return"] == id => break,
                // An earlier answer, or a part of one.
                Ok(_) | Err(LineError::NotJson { .. }) => {}
                Err(error) => return Err(lost(error)),
            }
        }
        self.in_step = true;
        Ok(())
    }

    /// Sends a request and waits for the answer.
    pub(super) async fn call(&mut self, command: &str, arguments: Value, within: Duration) -> Result<Value, ExecError> {
        let asked = async {
            if !self.in_step {
                self.synchronise().await?;
            }
            // If this future is dropped before the answer, the next request must synchronise.
            self.in_step = false;
            let mut question = json!({ "execute": command });
            if !arguments.is_null() {
                question["arguments"] = arguments;
            }
            self.writer.send(&question).await.map_err(lost)?;
            let mut answer = self.reader.next().await.map_err(lost)?;
            self.in_step = true;
            match answer["error"].take() {
                Value::Null => Ok(answer["return"].take()),
                error => Err(refusal(command, &error)),
            }
        };
        timeout(within, asked).await.unwrap_or(Err(ExecError::Unresponsive { waited: within }))
    }
}

fn refusal(command: &str, error: &Value) -> ExecError {
    let reason = error["desc"].as_str().unwrap_or("it gave no reason");
    let source = std::io::Error::other(printable(reason.as_bytes()));
    ExecError::Refused { what: format!("qemu-ga refused `{command}`"), source }
}

fn lost(error: LineError) -> ExecError {
    let reason = match error {
        LineError::Closed => "its VM has ended".into(),
        error => format!("the channel of qemu-ga failed: {}", one_line(&error)),
    };
    ExecError::Lost { reason }
}

/// Encodes bytes for the agent.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes bytes of the agent. A missing value is an empty list.
pub(super) fn decode(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => Some(Vec::new()),
        value => STANDARD.decode(value.as_str()?.trim_ascii()).ok(),
    }
}
