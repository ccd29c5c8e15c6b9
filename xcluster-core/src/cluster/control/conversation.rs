//! One conversation at the owner's end: a request, its answer, and what follows that.

use std::io;
use std::os::fd::AsFd;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::message::{Answer, Envelope, VERSION, Verb, receive, send};
use super::{descriptors, execution};
use crate::cluster::console::Console;
use crate::cluster::error::{Error, ErrorKind, RemoteError};
use crate::cluster::event::Events;
use crate::cluster::runtime::{State, requests};
use crate::plan::{NodeBoot, Plan};

/// How long a request may take to arrive on a new connection.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves one request. A client that asks for the cluster's end is passed on, to be answered when nothing is left.
///
/// Nothing that waits for the client holds the state: the folder of a cluster that has ended stays as long as its state.
pub(super) async fn converse(
    mut stream: UnixStream,
    state: Weak<State>,
    stop: mpsc::Sender<UnixStream>,
) -> io::Result<()> {
    // The version first: another one may have verbs that this one cannot read.
    let Envelope { version, verb } = timeout(REQUEST_TIMEOUT, receive(&mut stream)).await??;
    let verb = match serde_json::from_value(verb) {
        Ok(verb) if version == VERSION => verb,
        _ => return send(&mut stream, &Answer::<()>::Error(other_version())).await,
    };
    let Some(state) = state.upgrade() else { return Ok(()) };
    match verb {
        Verb::Status => reply(stream, requests::status(state).await).await,
        Verb::Plans => {
            let published = state.plans();
            drop(state);
            plans(stream, published).await
        }
        Verb::Ready => {
            let progress = state.progress();
            drop(state);
            reply(stream, progress.ready().await).await
        }
        Verb::Boot { boot } => boot_node(stream, state, boot).await,
        Verb::KillNode { node } => reply(stream, requests::kill_node(state, node).await).await,
        Verb::StopNode { node } => reply(stream, requests::stop_node(state, node).await).await,
        Verb::NodeStatus { node } => reply(stream, requests::node_status(state, node).await).await,
        Verb::SetUpPort { node, net } => reply(stream, requests::set_up_named_port(state, node, net).await).await,
        Verb::TearDownPort { node, net } => reply(stream, requests::tear_down_port(state, node, net).await).await,
        Verb::Stop => {
            drop(state);
            // The channel is only full when another process has asked already; the connection then closes at the end.
            let _ = stop.send(stream).await;
            Ok(())
        }
        Verb::Events => {
            let log = state.events();
            drop(state);
            events(stream, log).await
        }
        Verb::Exec { node, command } => match requests::spawn(state, node, command).await {
            Ok(execution) => {
                send(&mut stream, &Answer::Ok(())).await?;
                execution::serve(stream, execution).await
            }
            Err(error) => reply::<()>(stream, Err(error)).await,
        },
        Verb::CopyTo { node, local, remote } => {
            reply(stream, requests::copy_to(state, node, local, remote).await).await
        }
        Verb::CopyFrom { node, remote, local } => {
            reply(stream, requests::copy_from(state, node, remote, local).await).await
        }
        Verb::Console { node } => match requests::console(state, node).await {
            Ok(console) => {
                send(&mut stream, &Answer::Ok(())).await?;
                join_console(stream, console).await
            }
            Err(error) => reply::<()>(stream, Err(error)).await,
        },
        Verb::ConsoleText { node } => reply(stream, requests::console_text(state, node).await).await,
        Verb::QemuMessages { node } => reply(stream, requests::qemu_messages(state, node).await).await,
        Verb::Address { node, port } => reply(stream, requests::address(state, node, port).await).await,
        Verb::Connect { node, port } => match requests::connect(state, node, port).await {
            Ok(connection) => {
                send(&mut stream, &Answer::Ok(())).await?;
                descriptors::pass(&stream, &[connection.as_fd()]).await
            }
            Err(error) => reply::<()>(stream, Err(error)).await,
        },
        Verb::Qmp { node, command, arguments } => {
            reply(stream, requests::qmp(state, node, command, arguments).await).await
        }
        Verb::Namespace => match requests::namespace(state).await {
            Ok(namespace) => {
                let (files, passed) = descriptors::of(namespace.as_ref());
                send(&mut stream, &Answer::Ok(files)).await?;
                if passed.is_empty() { Ok(()) } else { descriptors::pass(&stream, &passed).await }
            }
            Err(error) => reply::<()>(stream, Err(error)).await,
        },
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

fn other_version() -> RemoteError {
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("the cluster is owned by xcluster {version}, whose control socket has another protocol");
    RemoteError::new(ErrorKind::Other, vec![text])
}

/// A boot is cancelled when the client hangs up.
async fn boot_node(mut stream: UnixStream, state: Rc<State>, boot: NodeBoot) -> io::Result<()> {
    let (waits, caller_left) = oneshot::channel();
    let mut booting = pin!(requests::boot(state, boot, caller_left));
    tokio::select! {
        biased;
        booted = &mut booting => return reply(stream, booted).await,
        () = hung_up(&mut stream) => {}
    }
    drop(waits);
    // The client has gone, so the outcome has no receiver. An event reports what could not be removed.
    let _ = booting.await;
    Ok(())
}

/// Returns when the client is gone. It sends nothing more.
async fn hung_up(stream: &mut UnixStream) {
    let mut rest = [0; 64];
    while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {}
}

async fn plans(mut stream: UnixStream, mut plans: watch::Receiver<Arc<Plan>>) -> io::Result<()> {
    let plan = plans.borrow_and_update().clone();
    send(&mut stream, &Answer::Ok(&*plan)).await?;
    loop {
        tokio::select! {
            changed = plans.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let plan = plans.borrow_and_update().clone();
                send(&mut stream, &*plan).await?;
            }
            () = hung_up(&mut stream) => return Ok(()),
        }
    }
}

async fn events(mut stream: UnixStream, mut events: Events) -> io::Result<()> {
    send(&mut stream, &Answer::Ok(())).await?;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => send(&mut stream, &event).await?,
                None => return Ok(()),
            },
            () = hung_up(&mut stream) => return Ok(()),
        }
    }
}

/// Passes a console's bytes on, both ways, until either side has ended.
async fn join_console(stream: UnixStream, mut console: Console) -> io::Result<()> {
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
