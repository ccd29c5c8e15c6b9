//! The host's end of traffic: it sends requests to nodes, and echoes theirs.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use nix::libc;
use nix::sys::socket::SockaddrIn6;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::host::Namespace;
use crate::net::HostAccess;
use crate::testing::TestFailure;

/// How many connections of a node may wait to be served.
const BACKLOG: u32 = 16;

/// The host as a cluster's nodes see it. Its end of their networks may be in a namespace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Host<'a> {
    pub(super) namespace: Option<&'a Arc<Namespace>>,
}

impl Host<'_> {
    /// Sends a question to the echo on one of a node's TCP ports, and returns the answer.
    pub(super) async fn ask(
        &self,
        access: &HostAccess,
        port: u16,
        question: Vec<u8>,
        deadline: Duration,
    ) -> Result<Vec<u8>, TestFailure> {
        let asked = async {
            let (mut read, mut write) = self.connect(access, port).await?.into_split();
            let send = async {
                write.write_all(&question).await?;
                write.shutdown().await
            };
            let mut answer = Vec::new();
            tokio::try_join!(send, read.read_to_end(&mut answer))?;
            Ok(answer)
        };
        timeout(deadline, asked).await.map_err(|_| TestFailure::new("timed out waiting for a complete answer"))?
    }

    async fn connect(&self, access: &HostAccess, port: u16) -> Result<TcpStream, TestFailure> {
        match (access.tcp(port), access.tcp_inside(port), self.namespace) {
            (Some(at), _, _) => Ok(TcpStream::connect(at).await?),
            (None, Some(at), Some(namespace)) => Ok(namespace.connect(at).await?),
            _ => Err(TestFailure::new(format!("port {port} has no address"))),
        }
    }

    fn listen(&self) -> Result<(TcpListener, UdpSocket), TestFailure> {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let socket = |kind: i32| match self.namespace {
            Some(namespace) => namespace.socket(libc::AF_INET6, kind | libc::SOCK_NONBLOCK, 0),
            None => Namespace::here().socket(libc::AF_INET6, kind | libc::SOCK_NONBLOCK, 0),
        };
        let (tcp, udp) = (TcpSocket::from_std_stream(socket(libc::SOCK_STREAM)?.into()), socket(libc::SOCK_DGRAM)?);
        tcp.bind(any)?;
        let address = SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 0, 0, 0));
        nix::sys::socket::bind(udp.as_raw_fd(), &address)?;
        Ok((tcp.listen(BACKLOG)?, UdpSocket::from_std(udp.into())?))
    }
}

/// An echo server on all addresses of the host, for nodes.
pub(super) struct HostEcho {
    pub(super) tcp: u16,
    pub(super) udp: u16,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl HostEcho {
    pub(super) fn start(host: Host<'_>) -> Result<Self, TestFailure> {
        let (tcp, udp) = host.listen()?;
        let ports = (tcp.local_addr()?.port(), udp.local_addr()?.port());
        let serve_tcp = async move {
            while let Ok((mut connection, _)) = tcp.accept().await {
                let (mut read, mut write) = connection.split();
                // The other end notices a broken connection: it compares what comes back.
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }
        };
        let serve_udp = async move {
            let mut buffer = vec![0; usize::from(u16::MAX)];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                let _ = udp.send_to(&buffer[..length], from).await;
            }
        };
        let tasks = vec![tokio::spawn(serve_tcp), tokio::spawn(serve_udp)];
        Ok(Self { tcp: ports.0, udp: ports.1, tasks })
    }
}

impl Drop for HostEcho {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
