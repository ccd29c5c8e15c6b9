//! The host's end of trials of traffic: it asks nodes, and answers them. What the answers must be is not its business.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::testing::Failed;

/// The host asks a node's echo.
pub(super) async fn ask(at: SocketAddr, question: Vec<u8>, patience: Duration) -> Result<Vec<u8>, Failed> {
    let asked = async {
        let (mut read, mut write) = TcpStream::connect(at).await?.into_split();
        let send = async {
            write.write_all(&question).await?;
            write.shutdown().await
        };
        let mut answer = Vec::new();
        tokio::try_join!(send, read.read_to_end(&mut answer))?;
        Ok(answer)
    };
    timeout(patience, asked).await.map_err(|_| Failed::new("no complete answer in time"))?
}

/// What a node reaches on the host: an echo on all addresses, so also where the net has the host.
pub(super) struct HostEcho {
    pub(super) tcp: u16,
    pub(super) udp: u16,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl HostEcho {
    pub(super) async fn start() -> Result<Self, Failed> {
        let (tcp, udp) = (TcpListener::bind("[::]:0").await?, UdpSocket::bind("[::]:0").await?);
        let ports = (tcp.local_addr()?.port(), udp.local_addr()?.port());
        let serve_tcp = async move {
            while let Ok((mut connection, _)) = tcp.accept().await {
                let (mut read, mut write) = connection.split();
                // The other end compares what comes back; a connection that breaks shows there.
                let _ = tokio::io::copy(&mut read, &mut write).await;
            }
        };
        let serve_udp = async move {
            let mut buffer = vec![0; usize::from(u16::MAX)];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                let _ = udp.send_to(&buffer[..length], from).await;
            }
        };
        let tasks = vec![tokio::task::spawn_local(serve_tcp), tokio::task::spawn_local(serve_udp)];
        Ok(Self { tcp: ports.0, udp: ports.1, tasks })
    }
}

impl Drop for HostEcho {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
