//! Guests that talk over a port, for trials of what a backend carries. It measures nothing.
//!
//! What a guest can do is few words, so that a real VM can be one as well; [`Frames`] makes guests without VMs.

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

/// The port at which every guest sends back what it gets, over TCP and over UDP (RFC 862).
pub const ECHO: u16 = 7;

/// A protocol over IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// A connection, closed by the one who asks when everything is sent.
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

/// Who makes guests.
#[async_trait(?Send)]
pub trait Traffic: fmt::Debug + Send + Sync {
    /// A guest with this NIC and the addresses of the port. It echoes on [`ECHO`], and over TCP on the ports that are
    /// exposed.
    ///
    /// # Errors
    /// It does not run.
    async fn guest(&self, port_config: &PortConfig, port: &Port) -> Result<Box<dyn Guest>, TestFailure>;

    /// How long what shall arrive may take.
    fn timeout(&self) -> Duration;
}

/// Somebody who talks over a port. Dropping it ends it.
#[async_trait(?Send)]
pub trait Guest: fmt::Debug {
    /// Sends `question` and gives what comes back: all of it, in order.
    ///
    /// # Errors
    /// No answer, or not so much of one, came in time.
    async fn ask(&mut self, protocol: Protocol, to: SocketAddr, question: &[u8]) -> Result<Vec<u8>, TestFailure>;

    /// Sends a frame to everyone that carries this text.
    ///
    /// # Errors
    /// It could not be sent.
    async fn shout(&mut self, text: &str) -> Result<(), TestFailure>;

    /// Whether a frame that carries this text arrives, or has arrived, from anybody.
    ///
    /// # Errors
    /// The guest is gone.
    async fn hears(&mut self, text: &str, within: Duration) -> Result<bool, TestFailure>;
}
