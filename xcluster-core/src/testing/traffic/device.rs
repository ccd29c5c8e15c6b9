//! Ethernet frames between a stream socket of QEMU and the IP stack.

use std::collections::VecDeque;
use std::io;

use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The length of an Ethernet header: two addresses and a type.
pub(super) const HEADER: usize = 14;

/// How much is read at once, in bytes: several of the largest frames.
const ROOM: usize = 256 * 1024;

/// A NIC without hardware: queues of frames.
#[derive(Debug)]
pub(super) struct Nic {
    pub(super) received: VecDeque<Vec<u8>>,
    pub(super) to_send: VecDeque<Vec<u8>>,
    pub(super) mtu: u16,
}

impl Device for Nic {
    type RxToken<'a> = Received;
    type TxToken<'a> = FrameSlot<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, FrameSlot<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Received(frame), FrameSlot(&mut self.to_send)))
    }

    fn transmit(&mut self, _: Instant) -> Option<FrameSlot<'_>> {
        Some(FrameSlot(&mut self.to_send))
    }

    /// By default, the stack computes and checks every checksum.
    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(self.mtu) + HEADER;
        capabilities
    }
}

/// A frame for the stack.
#[derive(Debug)]
pub(super) struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, use_frame: F) -> R {
        use_frame(&self.0)
    }
}

/// Room for a frame of the stack.
#[derive(Debug)]
pub(super) struct FrameSlot<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for FrameSlot<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.push_back(frame);
        result
    }
}

/// QEMU's stream socket: each frame follows its length in four bytes.
#[derive(Debug)]
pub(super) struct FrameSocket {
    socket: UnixStream,
    read: Vec<u8>,
    to_write: Vec<u8>,
}

impl FrameSocket {
    pub(super) const fn new(socket: UnixStream) -> Self {
        Self { socket, read: Vec::new(), to_write: Vec::new() }
    }

    /// Sends the frames of the queue, and completes when something arrived or could be written. May be cancelled at any time.
    pub(super) async fn exchange(&mut self, to_send: &mut VecDeque<Vec<u8>>) -> io::Result<()> {
        for frame in to_send.drain(..) {
            let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
            self.to_write.extend(length.to_be_bytes());
            self.to_write.extend(frame);
        }
        let writable =
            if self.to_write.is_empty() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        let ready = self.socket.ready(writable).await?;
        if ready.is_writable()
            && let Some(written) = unless_blocked(self.socket.try_write(&self.to_write))?
        {
            self.to_write.drain(..written);
        }
        self.read.reserve(ROOM);
        if ready.is_readable() && unless_blocked(self.socket.try_read_buf(&mut self.read))? == Some(0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// The next frame that has arrived completely.
    pub(super) fn next(&mut self) -> Option<Vec<u8>> {
        let (length, rest) = self.read.split_first_chunk()?;
        let length = u32::from_be_bytes(*length) as usize;
        let frame = rest.get(..length)?.to_vec();
        self.read.drain(..4 + length);
        Some(frame)
    }
}

fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
