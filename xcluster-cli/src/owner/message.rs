//! What an owner tells the process that started it: JSON, a line each. The other way goes one line, the settings; after it
//! the end of the stream says that nobody waits any more.

use serde::{Deserialize, Serialize};
use xcluster_core::{ClusterStatus, Event};

use crate::report::Failure;

/// A line of an owner. One of the last two is the last.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    /// Something happened.
    Event(Event),
    /// Every node is ready; from now on the owner is on its own.
    Ready(Box<ClusterStatus>),
    /// The start failed, and nothing is left of it.
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
