//! Descriptors that follow an answer: a connection, the files of a namespace. Both ends.

use std::io;
use std::net::TcpStream;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::net::UnixStream;

use super::message::Way;
use crate::host::fd_passing;
use crate::host::namespace::NamespaceEntry;

/// What descriptors travel with: a message of none would not arrive.
const CARRIER: &[u8] = b"d";

/// Passes descriptors on.
pub(super) async fn pass(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let sent = stream.async_io(Interest::WRITABLE, || fd_passing::send(stream, CARRIER, descriptors));
    sent.await.map(drop)
}

/// Which descriptors the way into a namespace has, in their order.
pub(super) fn of(inside: Option<&NamespaceEntry>) -> (Way, Vec<BorrowedFd<'_>>) {
    match inside.map(NamespaceEntry::descriptors) {
        None => (Way::Nowhere, Vec::new()),
        Some((None, net)) => (Way::Net, vec![net]),
        Some((Some(user), net)) => (Way::NetAndUser, vec![net, user]),
    }
}

/// Takes a connection.
pub(super) async fn take_stream(stream: &UnixStream) -> io::Result<TcpStream> {
    let [connection] = take(stream).await?;
    let connection = TcpStream::from(connection);
    // Whatever else it may be would be found out later and be harder to understand.
    connection.peer_addr().map_err(|_| invalid("what came is no connection"))?;
    Ok(connection)
}

/// Takes the way into a namespace.
pub(super) async fn take_inside(stream: &UnixStream, way: Way) -> io::Result<Option<NamespaceEntry>> {
    Ok(match way {
        Way::Nowhere => None,
        Way::Net => {
            let [net] = take(stream).await?;
            Some(NamespaceEntry::new(None, net))
        }
        Way::NetAndUser => {
            let [net, user] = take(stream).await?;
            Some(NamespaceEntry::new(Some(user), net))
        }
    })
}

async fn take<const N: usize>(stream: &UnixStream) -> io::Result<[OwnedFd; N]> {
    let mut carrier = [0; CARRIER.len()];
    let received = stream.async_io(Interest::READABLE, || fd_passing::receive(stream, &mut carrier));
    let (count, descriptors) = received.await?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    descriptors.try_into().map_err(|_| invalid("other descriptors came than were promised"))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
