//! Encodes messages as frames, and decodes them.

use std::fmt;

use super::{HEADER, MAGIC, MAX_BODY};

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// A body longer than [`MAX_BODY`].
    Length(u32),
    /// A kind that does not exist in this direction.
    Kind(u8),
    /// A body that is too short, too long or has impossible values.
    Body(u8),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(length) => write!(f, "a frame of {length} bytes where at most {MAX_BODY} are allowed"),
            Self::Kind(kind) => write!(f, "a frame of unknown kind {kind}"),
            Self::Body(kind) => write!(f, "a frame of kind {kind} with a malformed body"),
        }
    }
}

impl std::error::Error for Malformed {}

/// The messages of one direction.
pub(crate) trait Message: Sized {
    /// Appends the body and returns the kind.
    fn write(&self, body: &mut Vec<u8>) -> u8;

    /// Decodes a message of this kind; `None` if the kind does not exist. A malformed body is noted in `body`.
    fn read(kind: u8, body: &mut Body<'_>) -> Option<Self>;
}

/// Appends one frame. The body must fit into [`MAX_BODY`]: data is split at [`CHUNK`](super::CHUNK), and the sender checks commands.
pub(crate) fn encode(channel: u32, message: &impl Message, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER]);
    let kind = message.write(out);
    let length = u32::try_from(out.len() - start - HEADER).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&channel.to_le_bytes());
    out[start + 8] = kind;
}

/// Splits a stream of bytes into messages. It buffers at most one frame and the bytes of the last push.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    bytes: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Adds bytes that have arrived.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next complete message with its channel. After an error, [`Decoder::synchronise`] must be called.
    pub(crate) fn next<M: Message>(&mut self) -> Result<Option<(u32, M)>, Malformed> {
        let bytes = &self.bytes[self.start..];
        let Some((header, rest)) = bytes.split_at_checked(HEADER) else { return Ok(None) };
        let mut fields = Body::new(header);
        let (length, channel, kind) = (fields.u32(), fields.u32(), fields.u8());
        if length as usize > MAX_BODY {
            return Err(Malformed::Length(length));
        }
        let Some((body, _)) = rest.split_at_checked(length as usize) else { return Ok(None) };
        let mut body = Body::new(body);
        let message = M::read(kind, &mut body).ok_or(Malformed::Kind(kind))?;
        if !body.is_exhausted() {
            return Err(Malformed::Body(kind));
        }
        self.start += HEADER + length as usize;
        Ok(Some((channel, message)))
    }

    #[allow(clippy::allow_attributes, dead_code, reason = "only one of the two programs listens for it")]
    /// Discards all bytes up to and including the next [`MAGIC`]. Without one, keeps only bytes that may be its begin.
    pub(crate) fn synchronise(&mut self) -> bool {
        let bytes = &self.bytes[self.start..];
        match bytes.windows(MAGIC.len()).position(|window| window == MAGIC) {
            Some(at) => {
                self.start += at + MAGIC.len();
                true
            }
            None => {
                self.start += bytes.len().saturating_sub(MAGIC.len() - 1);
                false
            }
        }
    }
}

/// The fields of a body. Reading past the end returns zeros and is noted, so that not every field needs a check.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    rest: &'a [u8],
    bad: bool,
}

impl<'a> Body<'a> {
    fn new(rest: &'a [u8]) -> Self {
        Self { rest, bad: false }
    }

    fn is_exhausted(&self) -> bool {
        self.rest.is_empty() && !self.bad
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        if let Some((taken, rest)) = self.rest.split_at_checked(count) {
            self.rest = rest;
            taken
        } else {
            self.bad = true;
            &[]
        }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().unwrap_or([0; N])
    }

    pub(super) fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }

    pub(super) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(super) fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.array())
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub(super) fn choice<T: Copy>(&mut self, choices: &[T]) -> T {
        let index = usize::from(self.u8());
        self.bad |= index >= choices.len();
        choices[index.min(choices.len() - 1)]
    }

    pub(super) fn bytes(&mut self) -> Vec<u8> {
        let length = self.u32();
        self.take(length as usize).to_vec()
    }

    pub(super) fn rest(&mut self) -> Vec<u8> {
        self.take(self.rest.len()).to_vec()
    }

    /// Reads a list with a count. The count is not trusted: the list ends where the bytes end.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.u32();
        let mut list = Vec::new();
        for _ in 0..count {
            if self.bad {
                break;
            }
            list.push(item(self));
        }
        list
    }
}

pub(super) fn put_bytes(body: &mut Vec<u8>, bytes: &[u8]) {
    put_count(body, bytes.len());
    body.extend_from_slice(bytes);
}

pub(super) fn put_count(body: &mut Vec<u8>, count: usize) {
    body.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}
