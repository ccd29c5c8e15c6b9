//! The messages of an owner to the process that started it, one line of JSON each. In the other direction, `start` sends one line:
//! the settings. Then the end of the stream means that `start` no longer waits.

use serde::{Deserialize, Serialize};
use xcluster_core::{ClusterStatus, Event};

use crate::report::Failure;

/// A message of an owner. `Ready` or `Failed` is the last one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// An event of the start.
    Event(Event),
    /// All nodes are ready. The owner closes the stream and continues alone.
    Ready(Box<ClusterStatus>),
    /// The start failed, and nothing is left behind.
    Failed(Failure),
}

impl Message {
    /// The message as a line.
    pub(super) fn line(&self) -> serde_json::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }
}
