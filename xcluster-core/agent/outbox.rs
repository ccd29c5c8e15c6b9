//! Frames that wait for the host to take them.

use std::io;

use crate::port::Port;
use crate::protocol::{self, FromGuest};

/// Above this many bytes no more output is read from commands and files.
const HIGH_WATER: usize = 128 * 1024;

/// What is to be written to the port, in order.
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

    /// Queues what says that something could not be done.
    pub(crate) fn fail(&mut self, channel: u32, what: &str, error: &io::Error) {
        let errno = error.raw_os_error();
        let text = if errno.is_some() { what.to_owned() } else { format!("{what}: {error}") };
        self.send(channel, &FromGuest::Failed { errno: errno.unwrap_or(0), text: text.into_bytes() });
    }

    /// How much output to read for so many credits, in bytes.
    pub(crate) fn room(&self, credit: u32) -> usize {
        if self.bytes.len() - self.written < HIGH_WATER { affordable(credit) } else { 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// Writes what the port takes now.
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

    /// Forgets all of it: nobody is there to read it.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }
}

/// The most data that so many credits pay for in one frame.
fn affordable(credit: u32) -> usize {
    (credit as usize).saturating_sub(protocol::HEADER).min(protocol::CHUNK)
}
