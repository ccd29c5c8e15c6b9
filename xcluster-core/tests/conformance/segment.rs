//! A hub that loses TCP over IPv6 and carries everything else: a breach that no netdev of QEMU has.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UnixDatagram;

/// Which frames a segment loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    TcpOverIpv6,
    /// Those that contain this text.
    Text(&'static str),
    /// Every second one to everyone.
    Broadcasts,
}

/// The ports of one net of one cluster.
#[derive(Debug)]
pub(crate) struct Segment {
    loss: Loss,
    broadcasts: AtomicUsize,
    ports: Mutex<Vec<Arc<UnixDatagram>>>,
}

impl Segment {
    pub(crate) fn new(loss: Loss) -> Self {
        Self { loss, broadcasts: AtomicUsize::new(0), ports: Mutex::default() }
    }

    /// Adds a port, and returns QEMU's end of it. A frame is a datagram.
    pub(crate) fn plug(self: &Arc<Self>) -> io::Result<OwnedFd> {
        let (ours, theirs) = StdUnixDatagram::pair()?;
        ours.set_nonblocking(true)?;
        let port = Arc::new(UnixDatagram::from_std(ours)?);
        self.ports.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&port));
        let segment = Arc::clone(self);
        tokio::spawn(async move {
            let mut frame = vec![0; 128 * 1024];
            while let Ok(length @ 1..) = port.recv(&mut frame).await {
                segment.carry(&frame[..length]).await;
            }
        });
        Ok(theirs.into())
    }

    fn loses(&self, frame: &[u8]) -> bool {
        match self.loss {
            Loss::TcpOverIpv6 => is_tcp_over_ipv6(frame),
            Loss::Text(text) => frame.windows(text.len()).any(|part| part == text.as_bytes()),
            Loss::Broadcasts => {
                frame.starts_with(&[0xff; 6]) && self.broadcasts.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
            }
        }
    }

    async fn carry(&self, frame: &[u8]) {
        if self.loses(frame) {
            return;
        }
        let ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for port in ports {
            // The other end may be closed, or its queue full.
            let _ = port.try_send(frame);
        }
    }
}

/// By its type and the next header of RFC 8200.
fn is_tcp_over_ipv6(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(14 + 6) == Some(&6)
}
