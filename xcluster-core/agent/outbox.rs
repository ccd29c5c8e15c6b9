//! The frames that wait to be sent to the host.

use std::io;

use crate::port::Port;
use crate::protocol::{self, FromGuest};

/// While more bytes than this wait, no output of commands and files is read.
const HIGH_WATER: usize = 128 * 1024;

/// The bytes to write to the port, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    written: usize,
}

impl Outbox {
    /// Queues one frame.
    pub(crate) fn send(&mut self, channel: u32, message: &FromGuest) {
        protocol::encode(channel, message, &mut self.bytes);
    }

    /// Queues a frame about a failed request.
    pub(crate) fn fail(&mut self, channel: u32, what: &str, error: &io::Error) {
        let errno = error.raw_os_error();
        let text = if errno.is_some() { what.to_owned() } else { format!("{what}: {error}") };
        self.send(channel, &FromGuest::Failed { errno: errno.unwrap_or(0), text: text.into_bytes() });
    }

    /// Returns how many bytes of output may be read with these credits.
    pub(crate) fn room(&self, credit: u32) -> usize {
        if self.bytes.len() - self.written < HIGH_WATER { affordable(credit) } else { 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Writes as much as the port takes without blocking.
    pub(crate) fn flush(&mut self, port: &mut Port) -> io::Result<()> {
        while !self.is_empty() {
            match port.write(&self.bytes[self.written..])? {
                0 => break,
                count => self.written += count,
            }
        }
        if self.is_empty() {
            self.clear();
        } else if self.written > HIGH_WATER {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }

    /// Discards all frames, because there is no host.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }
}

/// Returns the maximum length of data in one frame with these credits.
fn affordable(credit: u32) -> usize {
    (credit as usize).saturating_sub(protocol::HEADER).min(protocol::CHUNK)
}
