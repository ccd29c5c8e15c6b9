//! Code that backends with links of the kernel share (feature `netlink`): links in the cluster's namespace over route netlink,
//! the marks that say who made a link, and the state of a cluster's ports. The backends decide which links to make. No type
//! of the rtnetlink crate is in the interface.
//!
//! Each request has a deadline of 20 s. Errors carry the kernel's errno(3).
//!
//! * [`Netlink`]: start here.
//! * [`link`]: bridges, veth pairs, and links of any kind.
//! * [`tap`]: taps, which need an ioctl.
//! * [`tunnel`]: links that carry frames to another host.
//! * [`address`]: addresses of links.
//! * [`route`]: routes through links.
//! * [`ownership`]: names, marks and groups of links.
//! * [`PortStates`]: what a backend remembers of a cluster's ports.
//!
//! A building block: its interface may change between minor versions.

pub mod address;
mod error;
pub mod link;
pub mod ownership;
mod port_states;
pub mod route;
pub mod tap;
pub mod tunnel;

use std::io;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::time::Duration;

use crate::host::Namespace;
use futures::{Stream, StreamExt};
use nix::errno::Errno;
use rtnetlink::Handle;
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::sys::TokioSocket;
use tokio::task::AbortHandle;

pub use error::NetlinkError;
pub use port_states::PortStates;

/// The deadline of a request. The kernel answers at once, but only one process at a time may change links of a host.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to the kernel for one namespace. It ends when it is dropped, or with the runtime that it was made in.
#[derive(Debug)]
pub struct Netlink {
    handle: Handle,
    task: AbortHandle,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Netlink {
    /// Connects for this namespace. Must run in a tokio runtime.
    ///
    /// # Errors
    /// No socket can be opened there.
    pub fn connect(namespace: &Namespace) -> Result<Self, NetlinkError> {
        let socket = namespace.netlink().map_err(|source| NetlinkError::new("open a netlink socket", source))?;
        // SAFETY: the number is of a descriptor that is ours alone, and given away here.
        let socket = unsafe { TokioSocket::from_raw_fd(socket.into_raw_fd()) };
        let (mut connection, handle, _) = rtnetlink::from_socket(socket);
        // Without it, a broken connection looks like a completed request.
        connection.set_forward_ack(true);
        Ok(Self { handle, task: tokio::spawn(connection).abort_handle() })
    }

    /// Sends a request that changes something. `flags` are added to those of every such request. `action` describes it for
    /// errors: "make bridge `xcbr1`".
    async fn act(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        action: impl Fn() -> String,
    ) -> Result<(), NetlinkError> {
        let failed = |source| NetlinkError::new(action(), source);
        let mut answers = self.request(message, NLM_F_REQUEST | NLM_F_ACK | flags).map_err(failed)?;
        while let Some(answer) = next(&mut answers).await.map_err(failed)? {
            if let NetlinkPayload::Error(outcome) = answer.payload {
                return outcome.code.map_or(Ok(()), |code| Err(failed(error(code.get()))));
            }
        }
        Err(failed(io::ErrorKind::ConnectionAborted.into()))
    }

    /// Asks for one object.
    async fn ask(
        &self,
        message: RouteNetlinkMessage,
        action: impl Fn() -> String,
    ) -> Result<RouteNetlinkMessage, NetlinkError> {
        let answers = self.collect(message, 0, &action).await?;
        answers.into_iter().next().ok_or_else(|| NetlinkError::new(action(), io::ErrorKind::ConnectionAborted.into()))
    }

    /// Asks for all objects of a kind.
    async fn list(
        &self,
        message: RouteNetlinkMessage,
        action: impl Fn() -> String,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        self.collect(message, NLM_F_DUMP, &action).await
    }

    async fn collect(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
        action: &impl Fn() -> String,
    ) -> Result<Vec<RouteNetlinkMessage>, NetlinkError> {
        let failed = |source| NetlinkError::new(action(), source);
        let mut answers = self.request(message, NLM_F_REQUEST | flags).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(answer) = next(&mut answers).await.map_err(failed)? {
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => found.push(message),
                NetlinkPayload::Error(outcome) if outcome.code.is_some() => {
                    return Err(failed(error(outcome.code.map_or(0, |code| code.get()))));
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn request(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<impl Stream<Item = NetlinkMessage<RouteNetlinkMessage>> + Unpin + use<>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = flags;
        self.handle.clone().request(request).map_err(|_| io::ErrorKind::ConnectionAborted.into())
    }
}

/// The next answer, or `None` after the last one.
async fn next<T>(answers: &mut (impl Stream<Item = T> + Unpin)) -> io::Result<Option<T>> {
    tokio::time::timeout(TIMEOUT, answers.next()).await.map_err(|_| io::ErrorKind::TimedOut.into())
}

/// The error of a kernel's code, which is a negative errno.
fn error(code: i32) -> io::Error {
    Errno::from_raw(code.saturating_abs()).into()
}
