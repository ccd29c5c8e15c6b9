//! A node's serial console, for those who join it.

use tokio::sync::mpsc;

/// How many pieces of output or input may wait for the reader or for the guest.
pub(super) const PIECES: usize = 64;

/// A joined console of a node. What the console showed before comes first.
#[derive(Debug)]
pub struct Console {
    output: mpsc::Receiver<Vec<u8>>,
    input: mpsc::Sender<Vec<u8>>,
}

impl Console {
    /// A console whose output comes from `output`, and whose input goes to `input`.
    pub(super) fn new(output: mpsc::Receiver<Vec<u8>>, input: mpsc::Sender<Vec<u8>>) -> Self {
        Self { output, input }
    }

    /// The next output, at most its last 256 KiB at a time, or none when the node has ended. A reader that is too slow misses
    /// what was in between.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        self.output.recv().await
    }

    /// Types on the console. False if the node has ended.
    pub async fn send(&self, bytes: impl Into<Vec<u8>>) -> bool {
        self.input.send(bytes.into()).await.is_ok()
    }

    /// A handle to type with, for another task than the one that reads.
    pub fn input(&self) -> ConsoleInput {
        ConsoleInput(self.input.clone())
    }
}

/// The input of a joined console.
#[derive(Debug, Clone)]
pub struct ConsoleInput(mpsc::Sender<Vec<u8>>);

impl ConsoleInput {
    /// Types on the console. False if the node has ended.
    pub async fn send(&self, bytes: impl Into<Vec<u8>>) -> bool {
        self.0.send(bytes.into()).await.is_ok()
    }
}
