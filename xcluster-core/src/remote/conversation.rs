//! One conversation at the owner's end: a request, its answer, and what follows that.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::message::{Answer, Request, VERSION, Verb, receive, send};
use super::{descriptors, execution};
use crate::cluster::{Cluster, Console, Error, ErrorKind, Node, RemoteError};
use crate::guest::exec::Command;
use crate::name::NodeId;
use crate::plan::NodeBoot;

/// How long a request may take to arrive once somebody has connected.
const PATIENCE: Duration = Duration::from_secs(10);

/// Holds a conversation. Who asks for the cluster's end is passed on, to be answered when nothing is left.
pub(super) async fn converse(
    mut stream: UnixStream,
    cluster: &Cluster,
    stop: mpsc::Sender<UnixStream>,
) -> io::Result<()> {
    let request: Request = timeout(PATIENCE, receive(&mut stream)).await??;
    if request.version != VERSION {
        return send(&mut stream, &Answer::<()>::Error(another_language())).await;
    }
    match request.verb {
        Verb::Status => reply(stream, cluster.status().await).await,
        Verb::Plan => reply(stream, Ok(&*cluster.plan())).await,
        Verb::Boot { boot } => boot_node(stream, cluster, boot).await,
        Verb::StopNode { node } => reply(stream, on(cluster, node, async |node| node.stop().await).await).await,
        Verb::Wire { node, net } => reply(stream, cluster.set_up_named_port(node, net).await).await,
        Verb::Unwire { node, net } => reply(stream, cluster.tear_down_port(node, net).await).await,
        Verb::Stop => {
            // The channel is only full when somebody else has asked already; the connection then closes at the end.
            let _ = stop.send(stream).await;
            Ok(())
        }
        Verb::Events => events(stream, cluster).await,
        Verb::Exec { node, command } => exec(stream, cluster, node, command).await,
        Verb::Put { node, local, remote } => {
            reply(stream, on(cluster, node, async |node| node.put(local, remote).await).await).await
        }
        Verb::Get { node, remote, local } => {
            reply(stream, on(cluster, node, async |node| node.get(remote, local).await).await).await
        }
        Verb::Console { node } => console(stream, cluster, node).await,
        Verb::ConsoleText { node } => {
            reply(stream, on(cluster, node, async |node| node.console_text().await).await).await
        }
        Verb::Connect { node, port } => connect(stream, cluster, node, port).await,
        Verb::Namespace => namespace(stream, cluster).await,
    }
}

/// The answer that a result is.
pub(super) fn answer<T: Serialize>(result: Result<T, &Error>) -> Answer<T> {
    match result {
        Ok(value) => Answer::Ok(value),
        Err(error) => Answer::Error(error.into()),
    }
}

async fn reply<T: Serialize>(mut stream: UnixStream, result: Result<T, Error>) -> io::Result<()> {
    send(&mut stream, &answer(result.as_ref())).await
}

fn another_language() -> RemoteError {
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("the cluster is owned by xcluster {version}, which speaks another language than you");
    RemoteError::new(ErrorKind::Other, vec![text])
}

async fn on<T>(cluster: &Cluster, node: NodeId, work: impl AsyncFnOnce(Node) -> Result<T, Error>) -> Result<T, Error> {
    work(cluster.node(node)?).await
}

/// A boot that nobody waits for any more is called off.
async fn boot_node(mut stream: UnixStream, cluster: &Cluster, what: NodeBoot) -> io::Result<()> {
    let booting = async { cluster.boot(what).await?.status().await };
    tokio::select! {
        biased;
        booted = booting => reply(stream, booted).await,
        () = hung_up(&mut stream) => Ok(()),
    }
}

/// Returns when the asker is gone. He has nothing more to say.
async fn hung_up(stream: &mut UnixStream) {
    let mut rest = [0; 64];
    while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {}
}

async fn events(mut stream: UnixStream, cluster: &Cluster) -> io::Result<()> {
    send(&mut stream, &Answer::Ok(())).await?;
    let mut events = cluster.events();
    while let Some(event) = events.next().await {
        send(&mut stream, &event).await?;
    }
    Ok(())
}

async fn exec(mut stream: UnixStream, cluster: &Cluster, node: NodeId, command: Command) -> io::Result<()> {
    match on(cluster, node, async |node| node.spawn(command).await).await {
        Ok(execution) => {
            send(&mut stream, &Answer::Ok(())).await?;
            execution::serve(stream, execution).await
        }
        Err(error) => reply::<()>(stream, Err(error)).await,
    }
}

async fn connect(mut stream: UnixStream, cluster: &Cluster, node: NodeId, port: u16) -> io::Result<()> {
    match on(cluster, node, async |node| node.connect(port).await).await {
        Ok(connection) => {
            send(&mut stream, &Answer::Ok(())).await?;
            descriptors::pass(&stream, &[connection.as_fd()]).await
        }
        Err(error) => reply::<()>(stream, Err(error)).await,
    }
}

async fn namespace(mut stream: UnixStream, cluster: &Cluster) -> io::Result<()> {
    match cluster.inside().await {
        Ok(inside) => {
            let (way, passed) = descriptors::of(inside.as_ref());
            send(&mut stream, &Answer::Ok(way)).await?;
            if passed.is_empty() { Ok(()) } else { descriptors::pass(&stream, &passed).await }
        }
        Err(error) => reply::<()>(stream, Err(error)).await,
    }
}

async fn console(mut stream: UnixStream, cluster: &Cluster, node: NodeId) -> io::Result<()> {
    match on(cluster, node, async |node| node.console().await).await {
        Ok(console) => {
            send(&mut stream, &Answer::Ok(())).await?;
            join(stream, console).await
        }
        Err(error) => reply::<()>(stream, Err(error)).await,
    }
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
