//! Clients of owners that break the protocol; real owners are tested with clusters.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use tokio::net::{UnixListener, UnixStream};

use super::client::Owner;
use super::descriptors;
use super::message::{Answer, NamespaceFiles, Request, SOCKET, Verb, receive, send};
use crate::cluster::Error;
use crate::host::Folder;
use crate::name::{ClusterName, NodeId};

/// A listener in the place of an owner, and what a client knows of it.
struct FakeOwner {
    base: tempfile::TempDir,
    folder: Folder,
    listener: UnixListener,
    client: Owner,
}

impl FakeOwner {
    fn new() -> Self {
        let base = tempfile::tempdir().unwrap();
        std::fs::set_permissions(base.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let name = ClusterName::new("test").unwrap();
        let folder = Folder::create(base.path(), &name).unwrap();
        let listener = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let client = Owner { name, socket: folder.path().join(SOCKET) };
        Self { base, folder, listener, client }
    }

    /// Takes the next request.
    async fn asked(&self) -> (UnixStream, Verb) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let request: Request = receive(&mut stream).await.unwrap();
        (stream, request.verb)
    }

    /// The result of a client that gets these descriptors for a connection.
    async fn connection_of(&self, passed: &[BorrowedFd<'_>]) -> Result<TcpStream, Error> {
        let owner = async {
            let (mut stream, verb) = self.asked().await;
            assert!(matches!(verb, Verb::Connect { port: 22, .. }));
            send(&mut stream, &Answer::Ok(())).await.unwrap();
            descriptors::pass(&stream, passed).await.unwrap();
        };
        tokio::join!(self.client.connect(NodeId::new(1).unwrap(), 22), owner).0
    }

    /// The same of a namespace.
    async fn namespace_of(&self, files: NamespaceFiles, passed: &[BorrowedFd<'_>]) -> Result<bool, Error> {
        let owner = async {
            let (mut stream, verb) = self.asked().await;
            assert!(matches!(verb, Verb::Namespace));
            send(&mut stream, &Answer::Ok(files)).await.unwrap();
            if !passed.is_empty() {
                descriptors::pass(&stream, passed).await.unwrap();
            }
        };
        tokio::join!(self.client.namespace(), owner).0.map(|inside| inside.is_some())
    }
}

fn cause(error: &Error) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

#[tokio::test]
async fn a_connection_is_used_without_its_owner() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let made = TcpStream::connect(server.local_addr().unwrap()).unwrap();
    let owner = FakeOwner::new();
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
async fn a_descriptor_that_is_no_connection_is_refused() {
    let owner = FakeOwner::new();
    let file = File::open("/dev/null").unwrap();
    let (here, _there) = std::os::unix::net::UnixStream::pair().unwrap();
    for (passed, expected) in [
        (&[file.as_fd()][..], "the descriptor is no connection"),
        (&[here.as_fd()], "the descriptor is no connection"),
        (&[here.as_fd(), here.as_fd()], "other descriptors came than were announced"),
        (&[], "other descriptors came than were announced"),
    ] {
        assert_eq!(cause(&owner.connection_of(passed).await.unwrap_err()), expected);
    }
}

#[tokio::test]
async fn an_owner_that_hangs_up_before_it_passes_descriptors_is_reported() {
    let owner = FakeOwner::new();
    let asked = async {
        let (mut stream, _) = owner.asked().await;
        send(&mut stream, &Answer::Ok(())).await.unwrap();
    };
    let (connected, ()) = tokio::join!(owner.client.connect(NodeId::new(1).unwrap(), 22), asked);
    assert!(connected.unwrap_err().to_string().starts_with("cannot talk to the owner"));
}

#[tokio::test]
async fn an_owner_that_no_longer_listens_has_no_cluster() {
    let FakeOwner { base: _base, folder: _folder, listener, client } = FakeOwner::new();
    drop(listener);
    assert!(matches!(client.ask::<()>(Verb::Status).await, Err(Error::NotRunning(_))));
}

#[tokio::test]
async fn a_namespace_comes_as_the_descriptors_that_were_announced() {
    let owner = FakeOwner::new();
    let net = File::open("/proc/self/ns/net").unwrap();
    let user = File::open("/proc/self/ns/user").unwrap();
    assert!(!owner.namespace_of(NamespaceFiles::None, &[]).await.unwrap());
    assert!(owner.namespace_of(NamespaceFiles::Net, &[net.as_fd()]).await.unwrap());
    assert!(owner.namespace_of(NamespaceFiles::NetAndUser, &[net.as_fd(), user.as_fd()]).await.unwrap());
    let error = owner.namespace_of(NamespaceFiles::NetAndUser, &[net.as_fd()]).await.unwrap_err();
    assert_eq!(cause(&error), "other descriptors came than were announced");
}
