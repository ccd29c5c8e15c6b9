//! A TCP port of this host that leads to a node, for as long as a value lives.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::background::{self, Task};
use super::error::Error;

/// When to try again to accept a connection.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A TCP port of this host whose connections lead to a TCP port of a node. Dropping it closes the port and its connections.
#[derive(Debug)]
#[must_use = "dropping a forward closes it"]
pub struct LocalForward {
    address: SocketAddr,
    _task: Task<()>,
}

impl LocalForward {
    /// Listens on `listen`. Each connection is joined to a new one of `connect`.
    pub(super) async fn open<F>(listen: SocketAddr, connect: impl Fn() -> F + Send + 'static) -> Result<Self, Error>
    where
        F: Future<Output = Result<TcpStream, Error>> + Send + 'static,
    {
        let failed = move |source| Error::io(format!("listen on {listen}"), source);
        // By the caller's thread, which may be in another network namespace than the background thread.
        let listener = std::net::TcpListener::bind(listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = background::run(async move { TcpListener::from_std(listener).map_err(failed) }).await?;
        Ok(Self { address, _task: background::spawn(serve(listener, connect))? })
    }

    /// The address of this host.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve<F>(listener: TcpListener, connect: impl Fn() -> F)
where
    F: Future<Output = Result<TcpStream, Error>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    let there = connect();
                    connections.spawn(async move {
                        if let Err(error) = join(stream, there).await {
                            tracing::warn!(?error, %from, "a connection of a forward was refused");
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely. No event says when some are free again.
                    tracing::warn!(%error, "cannot accept a connection of a forward");
                    sleep(ACCEPT_RETRY).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn join(mut here: TcpStream, there: impl Future<Output = Result<TcpStream, Error>>) -> Result<(), Error> {
    let mut there = there.await?;
    // A side that has hung up is an end like any other.
    let _ = copy_bidirectional(&mut here, &mut there).await;
    Ok(())
}
