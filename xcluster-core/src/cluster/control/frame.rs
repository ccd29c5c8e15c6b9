//! The bytes of a command that runs: frames of a kind, a length and a body, both ways on one stream.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest body: what an agent sends at once, with room to spare.
const BODY_MAX: usize = 64 * 1024;

/// The bytes before a body: its kind and its length.
const HEADER: usize = 5;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// The command wrote to standard output.
    Stdout(Vec<u8>),
    /// It wrote to standard error.
    Stderr(Vec<u8>),
    /// It has ended; the body is its status in JSON.
    Exited(Vec<u8>),
    /// It cannot be followed any more; the body is the error in JSON.
    Failed(Vec<u8>),
    /// So much of the input was taken.
    Credit(u32),
    /// No more input is of use.
    InputClosed,
    /// Input for the command.
    Stdin(Vec<u8>),
    /// The end of the input.
    Eof,
    /// A signal for the command.
    Signal(i32),
}

impl Frame {
    fn parts(self) -> (u8, Vec<u8>) {
        match self {
            Self::Stdout(bytes) => (1, bytes),
            Self::Stderr(bytes) => (2, bytes),
            Self::Exited(bytes) => (3, bytes),
            Self::Failed(bytes) => (4, bytes),
            Self::Credit(count) => (5, count.to_le_bytes().to_vec()),
            Self::InputClosed => (6, Vec::new()),
            Self::Stdin(bytes) => (7, bytes),
            Self::Eof => (8, Vec::new()),
            Self::Signal(number) => (9, number.to_le_bytes().to_vec()),
        }
    }

    fn from_parts(kind: u8, body: Vec<u8>) -> Option<Self> {
        let four = |body: Vec<u8>| <[u8; 4]>::try_from(body).ok();
        Some(match kind {
            1 => Self::Stdout(body),
            2 => Self::Stderr(body),
            3 => Self::Exited(body),
            4 => Self::Failed(body),
            5 => Self::Credit(u32::from_le_bytes(four(body)?)),
            6 => Self::InputClosed,
            7 => Self::Stdin(body),
            8 => Self::Eof,
            9 => Self::Signal(i32::from_le_bytes(four(body)?)),
            _ => return None,
        })
    }
}

/// Sends a frame.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: Frame) -> io::Result<()> {
    let mut bytes = Vec::new();
    encode(frame, &mut bytes)?;
    stream.write_all(&bytes).await
}

/// Puts a frame behind bytes that are to be sent.
pub(super) fn encode(frame: Frame, bytes: &mut Vec<u8>) -> io::Result<()> {
    let (kind, body) = frame.parts();
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= BODY_MAX);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "a frame that is too long"))?;
    bytes.reserve(HEADER + body.len());
    bytes.push(kind);
    bytes.extend(length.to_le_bytes());
    bytes.extend(body);
    Ok(())
}

/// Reads frames; a read that is dropped half-way loses nothing.
#[derive(Debug)]
pub(super) struct Reader<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// The next frame, or none at the end of the stream.
    pub(super) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    fn take(&mut self) -> io::Result<Option<Frame>> {
        let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
        let [kind, a, b, c, d, ..] = *self.buffer.as_slice() else { return Ok(None) };
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if length > BODY_MAX {
            return Err(invalid("a frame that is too long"));
        }
        if self.buffer.len() < HEADER + length {
            return Ok(None);
        }
        let body = self.buffer[HEADER..HEADER + length].to_vec();
        self.buffer.drain(..HEADER + length);
        Frame::from_parts(kind, body).map(Some).ok_or_else(|| invalid("a frame of an unknown kind"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_arrive_as_they_were_sent() {
        let all = [
            Frame::Stdout(b"out".to_vec()),
            Frame::Stderr(Vec::new()),
            Frame::Exited(b"{}".to_vec()),
            Frame::Failed(b"x".to_vec()),
            Frame::Credit(7),
            Frame::InputClosed,
            Frame::Stdin(vec![0; BODY_MAX]),
            Frame::Eof,
            Frame::Signal(-1),
        ];
        let mut bytes = Vec::new();
        for frame in &all {
            write(&mut bytes, frame.clone()).await.unwrap();
        }
        let mut reader = Reader::new(bytes.as_slice());
        for frame in all {
            assert_eq!(reader.next().await.unwrap(), Some(frame));
        }
        assert_eq!(reader.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn what_is_no_frame_is_an_error() {
        for bytes in [&[1, 255, 255, 255, 255][..], &[77, 0, 0, 0, 0], &[5, 1, 0, 0, 0, 1], &[1, 2, 0, 0, 0, 1]] {
            Reader::new(bytes).next().await.unwrap_err();
        }
    }
}
