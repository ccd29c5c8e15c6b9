//! Exchanges JSON values over a socket, one per line, as QEMU's monitor and qemu-ga do.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde_json::Value;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::error_chain;

/// Marks where the reader must start again. The byte does not occur in UTF-8, so the bytes before it on a line are leftovers.
pub(crate) const RESET: u8 = 0xff;

/// How much of a line that is not JSON an error shows, in bytes.
const EXCERPT: usize = 80;

/// Why no value could be sent or received.
#[derive(Error)]
#[non_exhaustive]
pub enum LineError {
    /// The other end is closed.
    #[error("the other end is closed")]
    Closed,
    /// A line is too long.
    #[error("a line has more than {limit} bytes")]
    TooLong {
        /// The maximum length of a line, in bytes.
        limit: usize,
    },
    /// A line is not JSON.
    #[error("`{excerpt}` is not JSON")]
    NotJson {
        /// The begin of the line.
        excerpt: String,
        /// The error of the parser.
        #[source]
        source: serde_json::Error,
    },
    /// The socket failed.
    #[error("the socket failed")]
    Socket(#[source] io::Error),
}

error_chain::readable_debug!(LineError);

/// Splits a socket into a reader and a writer for lines of at most `limit` bytes.
pub(crate) fn json_lines(stream: UnixStream, limit: usize) -> (LineReader, LineWriter) {
    let (read, write) = stream.into_split();
    (LineReader { half: read, buffer: Vec::new(), searched: 0, limit }, LineWriter { half: write })
}

/// Receives values.
#[derive(Debug)]
pub(crate) struct LineReader {
    half: OwnedReadHalf,
    buffer: Vec<u8>,
    /// How many bytes of the buffer are known to contain no end of line.
    searched: usize,
    limit: usize,
}

impl LineReader {
    /// Receives the next value. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> Result<Value, LineError> {
        loop {
            while let Some(end) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=self.searched + end).collect();
                self.searched = 0;
                let begin = line.iter().rposition(|byte| *byte == RESET).map_or(0, |at| at + 1);
                let line = line[begin..].trim_ascii();
                if !line.is_empty() {
                    return parse(line);
                }
            }
            self.searched = self.buffer.len();
            if self.buffer.len() >= self.limit {
                return Err(LineError::TooLong { limit: self.limit });
            }
            if self.half.read_buf(&mut self.buffer).await.map_err(broken)? == 0 {
                return Err(LineError::Closed);
            }
        }
    }
}

/// Sends values.
#[derive(Debug)]
pub(crate) struct LineWriter {
    half: OwnedWriteHalf,
}

impl LineWriter {
    /// Sends a value. If the future is dropped, a part of the value may have been sent.
    pub(crate) async fn send(&mut self, value: &Value) -> Result<(), LineError> {
        self.half.write_all(&line(value)).await.map_err(broken)
    }

    /// Sends [`RESET`] and a value, for a peer that may have received a part of an earlier value.
    pub(crate) async fn send_anew(&mut self, value: &Value) -> Result<(), LineError> {
        let mut bytes = vec![RESET];
        bytes.extend(line(value));
        self.half.write_all(&bytes).await.map_err(broken)
    }

    /// Sends a value with a descriptor, of which the peer gets a copy.
    pub(crate) async fn send_with(&mut self, value: &Value, fd: OwnedFd) -> Result<(), LineError> {
        let (line, stream): (_, &UnixStream) = (line(value), self.half.as_ref());
        let fds = [fd.as_fd().as_raw_fd()];
        let sent = stream.async_io(Interest::WRITABLE, || {
            let rights = [ControlMessage::ScmRights(&fds)];
            let sent = sendmsg::<()>(stream.as_raw_fd(), &[IoSlice::new(&line)], &rights, MsgFlags::MSG_NOSIGNAL, None);
            sent.map_err(io::Error::from)
        });
        // The descriptor is sent with the first byte; the rest is text.
        let sent = sent.await.map_err(broken)?;
        self.half.write_all(&line[sent..]).await.map_err(broken)
    }
}

fn line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

fn parse(line: &[u8]) -> Result<Value, LineError> {
    serde_json::from_slice(line).map_err(|source| {
        let excerpt = &line[..line.len().min(EXCERPT)];
        LineError::NotJson { excerpt: excerpt.escape_ascii().to_string(), source }
    })
}

fn broken(error: io::Error) -> LineError {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => LineError::Closed,
        _ => LineError::Socket(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::AsyncWriteExt;
    use tokio::net::UnixStream;

    use super::{LineError, LineReader, json_lines};

    fn reader(limit: usize) -> (LineReader, UnixStream) {
        let (here, there) = UnixStream::pair().unwrap();
        (json_lines(here, limit).0, there)
    }

    #[tokio::test]
    async fn values_are_received_from_pieces_of_any_size() {
        let (mut reader, mut peer) = reader(100);
        peer.write_all(b"{\"a\":1}\r\n\n{\"b\"").await.unwrap();
        assert_eq!(reader.next().await.unwrap(), json!({"a": 1}));
        peer.write_all(b":2}\n3\n").await.unwrap();
        assert_eq!(reader.next().await.unwrap(), json!({"b": 2}));
        assert_eq!(reader.next().await.unwrap(), json!(3));
        drop(peer);
        assert!(matches!(reader.next().await, Err(LineError::Closed)));
    }

    #[tokio::test]
    async fn bytes_before_a_reset_are_discarded() {
        let (mut reader, mut peer) = reader(100);
        peer.write_all(b"{\"half\xff{\"return\": 7}\n").await.unwrap();
        assert_eq!(reader.next().await.unwrap(), json!({"return": 7}));
    }

    #[tokio::test]
    async fn a_line_without_end_is_an_error_and_does_not_use_up_memory() {
        let (mut reader, mut peer) = reader(1000);
        let flood = tokio::spawn(async move { while peer.write_all(&[b'x'; 100]).await.is_ok() {} });
        assert!(matches!(reader.next().await, Err(LineError::TooLong { limit: 1000 })));
        assert!(reader.buffer.capacity() < 10_000);
        drop(reader);
        flood.await.unwrap();
    }

    #[tokio::test]
    async fn a_line_that_is_not_json_is_shown() {
        let (mut reader, mut peer) = reader(100);
        peer.write_all(b"\x1b[0mlogin:\n").await.unwrap();
        let error = reader.next().await.unwrap_err();
        assert_eq!(error.to_string(), "`\\x1b[0mlogin:` is not JSON");
    }
}
