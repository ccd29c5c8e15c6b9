//! Descriptors that follow an answer: a connection, the files of a namespace. Both ends.

use std::io;
use std::net::TcpStream;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::net::UnixStream;

use super::message::NamespaceFiles;
use crate::host::fd_passing;
use crate::host::namespace::NamespaceEntry;

/// The byte that descriptors travel with: an empty message would not arrive.
const CARRIER: &[u8] = b"d";

/// Passes descriptors on.
pub(super) async fn pass(stream: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let sent = stream.async_io(Interest::WRITABLE, || fd_passing::send(stream, CARRIER, descriptors));
    sent.await.map(drop)
}

/// Which descriptors a namespace entry has, in their order.
pub(super) fn of(inside: Option<&NamespaceEntry>) -> (NamespaceFiles, Vec<BorrowedFd<'_>>) {
    match inside.map(NamespaceEntry::descriptors) {
        None => (NamespaceFiles::None, Vec::new()),
        Some((None, net)) => (NamespaceFiles::Net, vec![net]),
        Some((Some(user), net)) => (NamespaceFiles::NetAndUser, vec![net, user]),
    }
}

/// Takes a connection.
pub(super) async fn take_stream(stream: &UnixStream) -> io::Result<TcpStream> {
    let [connection] = take(stream).await?;
    let connection = TcpStream::from(connection);
    // Another kind of descriptor would fail later with an error that is harder to understand.
    connection.peer_addr().map_err(|_| invalid("the descriptor is no connection"))?;
    Ok(connection)
}

/// Takes a namespace entry.
pub(super) async fn take_namespace(stream: &UnixStream, files: NamespaceFiles) -> io::Result<Option<NamespaceEntry>> {
    Ok(match files {
        NamespaceFiles::None => None,
        NamespaceFiles::Net => {
            let [net] = take(stream).await?;
            Some(NamespaceEntry::new(None, net))
        }
        NamespaceFiles::NetAndUser => {
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
    descriptors.try_into().map_err(|_| invalid("other descriptors came than were announced"))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
