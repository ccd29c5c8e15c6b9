//! The owner's side: answers requests on the cluster's socket until it is told to stop.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::execution;
use super::message::{Answer, Request, SOCKET, VERSION, Verb, receive, send};
use crate::cluster::{Cluster, Console, Error, ErrorKind, Refusal};

/// How long a request may take to arrive once somebody has connected.
const PATIENCE: Duration = Duration::from_secs(10);

/// When to try again to accept a connection.
const AGAIN: Duration = Duration::from_millis(100);

/// How long others are given to take in that the cluster has ended.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a cluster to the other processes of this user until one of them asks for its end or `until` completes; then
/// stops it. Who shares the cluster can watch it meanwhile. Must run in a tokio runtime.
///
/// # Errors
/// The socket cannot be made, or not everything could be removed at the end.
pub async fn serve(cluster: impl Into<Arc<Cluster>>, until: impl Future<Output = ()>) -> Result<(), Error> {
    let cluster: Arc<Cluster> = cluster.into();
    let path = cluster.folder().join(SOCKET);
    let failed = |source: io::Error| Error::io(format!("listen on `{}`", path.display()), source);
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let (stop, mut stops) = mpsc::channel::<UnixStream>(1);
    let mut conversations = JoinSet::new();
    tokio::pin!(until);
    let asker = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (cluster, stop) = (cluster.clone(), stop.clone());
                    conversations.spawn(async move {
                        if let Err(error) = converse(stream, &cluster, stop).await {
                            tracing::debug!(%error, "a conversation broke off");
                        }
                    });
                }
                Err(error) => {
                    // Out of descriptors, most likely. Nothing tells when there are some again.
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(AGAIN).await;
                }
            },
            Some(_) = conversations.join_next() => {}
            Some(asker) = stops.recv() => break Some(asker),
            () = &mut until => break None,
        }
    };
    let stopped = cluster.end().await;
    if let Some(mut asker) = asker {
        // Who asked may have gone; the cluster has ended all the same.
        let _ = timeout(FAREWELL, send(&mut asker, &answer(stopped.as_ref()))).await;
    }
    // They see the end of the cluster by themselves, and pass it on; but for those whose other end does not listen.
    let _ = timeout(FAREWELL, async { while conversations.join_next().await.is_some() {} }).await;
    stopped
}

async fn converse(mut stream: UnixStream, cluster: &Cluster, stop: mpsc::Sender<UnixStream>) -> io::Result<()> {
    let request: Request = timeout(PATIENCE, receive(&mut stream)).await??;
    if request.version != VERSION {
        let chain = vec![format!(
            "the cluster is owned by xcluster {}, which speaks another language than you",
            env!("CARGO_PKG_VERSION")
        )];
        return send(&mut stream, &Answer::<()>::Error(Refusal::new(ErrorKind::Other, chain))).await;
    }
    match request.verb {
        Verb::Status => send(&mut stream, &answer(cluster.status().await.as_ref())).await,
        Verb::Plan => send(&mut stream, &Answer::Ok(cluster.plan())).await,
        Verb::Stop => {
            // The channel is only full when somebody else has asked already; the connection then closes at the end.
            let _ = stop.send(stream).await;
            Ok(())
        }
        Verb::Events => {
            send(&mut stream, &Answer::Ok(())).await?;
            let mut events = cluster.events();
            while let Some(event) = events.next().await {
                send(&mut stream, &event).await?;
            }
            Ok(())
        }
        Verb::Exec { node, command } => match spawn(cluster, node, command).await {
            Ok(execution) => {
                send(&mut stream, &Answer::Ok(())).await?;
                execution::serve(stream, execution).await
            }
            Err(error) => refuse(&mut stream, &error).await,
        },
        Verb::Put { node, local, remote } => {
            let copied = match cluster.node(node) {
                Ok(node) => node.put(local, remote).await,
                Err(error) => Err(error),
            };
            send(&mut stream, &answer(copied.as_ref())).await
        }
        Verb::Get { node, remote, local } => {
            let copied = match cluster.node(node) {
                Ok(node) => node.get(remote, local).await,
                Err(error) => Err(error),
            };
            send(&mut stream, &answer(copied.as_ref())).await
        }
        Verb::Console { node } => {
            let console = match cluster.node(node) {
                Ok(node) => node.console().await,
                Err(error) => Err(error),
            };
            match console {
                Ok(console) => {
                    send(&mut stream, &Answer::Ok(())).await?;
                    join(stream, console).await
                }
                Err(error) => refuse(&mut stream, &error).await,
            }
        }
        Verb::ConsoleText { node } => {
            let text = match cluster.node(node) {
                Ok(node) => node.console_text().await,
                Err(error) => Err(error),
            };
            send(&mut stream, &answer(text.as_ref())).await
        }
    }
}

async fn spawn(
    cluster: &Cluster,
    node: crate::name::NodeId,
    command: crate::guest::exec::Command,
) -> Result<crate::guest::exec::Execution, Error> {
    cluster.node(node)?.spawn(command).await
}

fn answer<T: Serialize>(result: Result<T, &Error>) -> Answer<T> {
    match result {
        Ok(value) => Answer::Ok(value),
        Err(error) => Answer::Error(error.into()),
    }
}

async fn refuse(stream: &mut UnixStream, error: &Error) -> io::Result<()> {
    send(stream, &Answer::<()>::Error(error.into())).await
}

/// Passes a console's bytes on, both ways, until either side has ended.
async fn join(stream: UnixStream, mut console: Console) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let input = console.input();
    let typing = async {
        let mut buffer = [0; 4096];
        loop {
            let count = reader.read(&mut buffer).await?;
            if count == 0 || !input.send(&buffer[..count]).await {
                return Ok(());
            }
        }
    };
    let showing = async {
        while let Some(bytes) = console.next().await {
            writer.write_all(&bytes).await?;
        }
        Ok(())
    };
    tokio::select! {
        result = typing => result,
        result = showing => result,
    }
}
