//! A node's serial console, for those who join it.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use futures::future::{Either, select};
use tokio::sync::mpsc;

use super::background;
use super::error::Error;
use crate::guest::exec::printable;
use crate::name::NodeId;

/// How many pieces of output or input may wait for the reader or for the guest.
pub(super) const PIECES: usize = 64;

/// How much of the output an error shows, in bytes.
const TAIL: usize = 512;

/// A joined console of a node. What the console showed before comes first. It is a [`Stream`] of its output, too.
#[derive(Debug)]
pub struct Console {
    node: NodeId,
    /// Output that was read and not passed on.
    rest: Vec<u8>,
    output: mpsc::Receiver<Vec<u8>>,
    input: mpsc::Sender<Vec<u8>>,
}

impl Console {
    /// A console whose output comes from `output`, and whose input goes to `input`.
    pub(super) fn new(node: NodeId, output: mpsc::Receiver<Vec<u8>>, input: mpsc::Sender<Vec<u8>>) -> Self {
        Self { node, rest: Vec::new(), output, input }
    }

    /// The next output, at most 256 KiB, or none when the node has ended. A reader that is too slow misses what was in between.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Waits until the console shows a text. Returns the output up to its end, as text; what follows is read next.
    ///
    /// # Errors
    /// The console does not show it before the deadline, or before the node ends. The output until then is gone.
    pub async fn expect(&mut self, text: &str, deadline: Duration) -> Result<String, Error> {
        let mut seen = Vec::new();
        let why = {
            let reading = pin!(self.read_until(text.as_bytes(), &mut seen));
            match select(reading, pin!(background::sleep(deadline))).await {
                Either::Left((Some(rest), _)) => Ok(rest),
                Either::Left((None, _)) => Err("before the node ended".to_owned()),
                Either::Right((slept, _)) => {
                    slept?;
                    Err(format!("within {deadline:?}"))
                }
            }
        };
        match why {
            Ok(rest) => {
                self.rest = rest;
                Ok(String::from_utf8_lossy(&seen).into_owned())
            }
            Err(why) => {
                let tail = printable(&seen[seen.len().saturating_sub(TAIL)..]);
                Err(Error::Console { node: self.node, text: text.to_owned(), why, tail })
            }
        }
    }

    /// Reads until the output ends with `text`; returns what came after it, or none if the node has ended.
    async fn read_until(&mut self, text: &[u8], seen: &mut Vec<u8>) -> Option<Vec<u8>> {
        let mut from = 0;
        loop {
            let found = seen[from..].windows(text.len().max(1)).position(|window| window == text);
            if text.is_empty() || found.is_some() {
                let end = found.map_or(0, |at| from + at + text.len());
                return Some(seen.split_off(end));
            }
            // The text may begin in the bytes before the next piece.
            from = seen.len().saturating_sub(text.len());
            seen.extend(self.next().await?);
        }
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

impl Stream for Console {
    type Item = Vec<u8>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(std::mem::take(&mut self.rest)));
        }
        self.output.poll_recv(context)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_read_up_to_a_text_and_on_from_there() {
        let (output, shown) = mpsc::channel(PIECES);
        let mut console = Console::new(NodeId::new(1).unwrap(), shown, mpsc::channel(1).0);
        for piece in ["vm-001 log", "in: root", "\n# "] {
            output.try_send(piece.as_bytes().to_vec()).unwrap();
        }
        let wait = |console: &mut Console, text| {
            let soon = Duration::from_millis(50);
            futures::executor::block_on(console.expect(text, soon)).map_err(|error| error.to_string())
        };
        assert_eq!(wait(&mut console, "login: "), Ok("vm-001 login: ".to_owned()));
        let late = "the console of vm-001 did not show `uid=0` within 50ms; its end: root\\n# ";
        assert_eq!(wait(&mut console, "uid=0"), Err(late.to_owned()));
        output.try_send(b"bye".to_vec()).unwrap();
        drop(output);
        let ended = "the console of vm-001 did not show `uid=0` before the node ended; its end: bye";
        assert_eq!(wait(&mut console, "uid=0"), Err(ended.to_owned()));
    }
}
