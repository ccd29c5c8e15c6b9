//! A hub that loses what it is told to lose: for breaches that no netdev of QEMU has. Everything else it carries.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::UnixDatagram;

/// The ports of one net of one cluster.
#[derive(Debug, Default)]
pub(crate) struct Segment(Mutex<Vec<Arc<UnixDatagram>>>);

impl Segment {
    /// One more port. A frame is a datagram.
    pub(crate) fn plug(self: &Arc<Self>) -> io::Result<OwnedFd> {
        let (ours, theirs) = StdUnixDatagram::pair()?;
        ours.set_nonblocking(true)?;
        let port = Arc::new(UnixDatagram::from_std(ours)?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&port));
        let segment = Arc::clone(self);
        tokio::spawn(async move {
            let mut frame = vec![0; 128 * 1024];
            while let Ok(length @ 1..) = port.recv(&mut frame).await {
                segment.carry(&frame[..length]).await;
            }
        });
        Ok(theirs.into())
    }

    async fn carry(&self, frame: &[u8]) {
        if is_tcp_over_ipv6(frame) {
            return;
        }
        let ports = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for port in ports {
            // Nobody may be at the other end, or be reading.
            let _ = port.try_send(frame);
        }
    }
}

/// By its type and the next header of RFC 8200.
fn is_tcp_over_ipv6(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(14 + 6) == Some(&6)
}
