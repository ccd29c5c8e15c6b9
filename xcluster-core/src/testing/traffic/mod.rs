//! Guests that talk over a port, for trials of what a backend carries.
//!
//! A guest can do so little that a real VM could be one as well; [`Frames`] makes guests without VMs.

mod device;
mod frames;
mod stack;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;

pub use frames::Frames;

use super::TestFailure;
use crate::net::{Port, PortConfig};

/// The port on which every guest echoes, over TCP and over UDP (RFC 862).
pub const ECHO: u16 = 7;

/// A protocol over IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A connection, which its client closes when everything is sent.
    Tcp,
    /// One datagram each way, not fragmented.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// Makes guests.
#[async_trait(?Send)]
pub trait Traffic: fmt::Debug + Send + Sync {
    /// Makes a guest with this NIC and the addresses of the port. It echoes on [`ECHO`], and over TCP on the exposed ports.
    ///
    /// # Errors
    /// It cannot be started.
    async fn guest(&self, port_config: &PortConfig, port: &Port) -> Result<Box<dyn Guest>, TestFailure>;

    /// How long an answer or a frame may take to arrive.
    fn timeout(&self) -> Duration;
}

/// A guest that talks over a port. Dropping it ends it.
#[async_trait(?Send)]
pub trait Guest: fmt::Debug {
    /// Sends `question` and returns what comes back: all of it, in order.
    ///
    /// # Errors
    /// The answer was not complete in time.
    async fn ask(&mut self, protocol: Protocol, to: SocketAddr, question: &[u8]) -> Result<Vec<u8>, TestFailure>;

    /// Broadcasts a frame with this text.
    ///
    /// # Errors
    /// It could not be sent.
    async fn shout(&mut self, text: &str) -> Result<(), TestFailure>;

    /// Whether a frame with this text has arrived, or arrives in time, from any guest.
    ///
    /// # Errors
    /// The guest has ended.
    async fn hears(&mut self, text: &str, within: Duration) -> Result<bool, TestFailure>;
}
