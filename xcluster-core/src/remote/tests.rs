//! Owners that do not keep to the language, as the asker meets them; what a real one does is tested with clusters.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use tokio::net::{UnixListener, UnixStream};

use super::message::{Answer, Request, SOCKET, Verb, Way, receive, send};
use super::{Remote, descriptors};
use crate::cluster::Error;
use crate::host::Folder;
use crate::name::{ClusterName, NodeId};

/// Somebody who listens where an owner does.
struct Owner {
    base: tempfile::TempDir,
    folder: Folder,
    listener: UnixListener,
    remote: Remote,
}

impl Owner {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        std::fs::set_permissions(base.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let name = ClusterName::new("lab").unwrap();
        let folder = Folder::create(base.path(), &name).unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let remote = Remote::attach_under(base.path(), &name).unwrap();
        Self { base, folder, listener, remote }
    }

    /// Takes the next request.
    async fn asked(&self) -> (UnixStream, Verb) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let request: Request = receive(&mut stream).await.unwrap();
        (stream, request.verb)
    }

    /// What an asker makes of it when these descriptors are called a connection.
    async fn connection_of(&self, passed: &[BorrowedFd<'_>]) -> Result<TcpStream, Error> {
        let owner = async {
            let (mut stream, verb) = self.asked().await;
            assert!(matches!(verb, Verb::Connect { port: 22, .. }));
            send(&mut stream, &Answer::Ok(())).await.unwrap();
            descriptors::pass(&stream, passed).await.unwrap();
        };
        tokio::join!(self.remote.connect(NodeId::new(1).unwrap(), 22), owner).0
    }

    /// The same of a namespace.
    async fn way_of(&self, way: Way, passed: &[BorrowedFd<'_>]) -> Result<bool, Error> {
        let owner = async {
            let (mut stream, verb) = self.asked().await;
            assert!(matches!(verb, Verb::Namespace));
            send(&mut stream, &Answer::Ok(way)).await.unwrap();
            if !passed.is_empty() {
                descriptors::pass(&stream, passed).await.unwrap();
            }
        };
        tokio::join!(self.remote.inside(), owner).0.map(|inside| inside.is_some())
    }
}

fn cause(error: &Error) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

#[tokio::test]
async fn a_connection_is_used_without_its_owner() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let made = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let owner = Owner::new();
    let mut ours = owner.connection_of(&[made.as_fd()]).await.unwrap();
    drop((owner, made));
    let (mut theirs, _) = server.accept().unwrap();
    ours.write_all(b"hello").unwrap();
    ours.shutdown(std::net::Shutdown::Write).unwrap();
    let mut said = String::new();
    theirs.read_to_string(&mut said).unwrap();
    assert_eq!(said, "hello");
}

#[tokio::test]
async fn what_is_no_connection_is_refused() {
    let owner = Owner::new();
    let file = File::open("/dev/null").unwrap();
    let (here, _there) = std::os::unix::net::UnixStream::pair().unwrap();
    for (passed, expected) in [
        (&[file.as_fd()][..], "what came is no connection"),
        (&[here.as_fd()], "what came is no connection"),
        (&[here.as_fd(), here.as_fd()], "other descriptors came than were promised"),
        (&[], "other descriptors came than were promised"),
    ] {
        assert_eq!(cause(&owner.connection_of(passed).await.unwrap_err()), expected);
    }
}

#[tokio::test]
async fn an_owner_that_hangs_up_before_it_passes_anything_is_told() {
    let owner = Owner::new();
    let asked = async {
        let (mut stream, _) = owner.asked().await;
        send(&mut stream, &Answer::Ok(())).await.unwrap();
    };
    let (connected, ()) = tokio::join!(owner.remote.connect(NodeId::new(1).unwrap(), 22), asked);
    assert!(connected.unwrap_err().to_string().starts_with("cannot talk to the owner"));
}

#[tokio::test]
async fn an_owner_that_does_not_listen_any_more_has_no_cluster() {
    let Owner { base: _base, folder: _folder, listener, remote } = Owner::new();
    drop(listener);
    assert!(matches!(remote.status().await, Err(Error::NotRunning(_))));
}

#[tokio::test]
async fn a_namespace_comes_as_the_descriptors_that_were_promised() {
    let owner = Owner::new();
    let net = File::open("/proc/self/ns/net").unwrap();
    let user = File::open("/proc/self/ns/user").unwrap();
    assert!(!owner.way_of(Way::Nowhere, &[]).await.unwrap());
    assert!(owner.way_of(Way::Net, &[net.as_fd()]).await.unwrap());
    assert!(owner.way_of(Way::NetAndUser, &[net.as_fd(), user.as_fd()]).await.unwrap());
    let error = owner.way_of(Way::NetAndUser, &[net.as_fd()]).await.unwrap_err();
    assert_eq!(cause(&error), "other descriptors came than were promised");
}
