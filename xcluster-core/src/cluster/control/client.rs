//! The client of a cluster that another process of this user owns.

use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::message::{Answer, NamespaceFiles, Request, SOCKET, VERSION, Verb, receive, send};
use super::{descriptors, execution};
use crate::cluster::background;
use crate::cluster::console::{Console, PIECES};
use crate::cluster::error::Error;
use crate::cluster::event::{Event, EventLog, Events};
use crate::guest::Copied;
use crate::guest::exec::{Command, Execution};
use crate::host::folder::{self, LostOwner, Survey};
use crate::host::namespace::NamespaceEntry;
use crate::name::{ClusterName, NodeId};
use crate::plan::{Plan, Step};

/// How long an owner may take to answer quick requests. Commands, copies, boots and the end of a cluster have no limit here.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an owner may take to start a command on a node, or to get an answer of QEMU, for which it waits 30 seconds.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long an owner may take to free its folder after it has closed a connection.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the owner of a new folder may take to listen there, and how often to try: it does so at once, but afterwards.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(2);
const LISTEN_RETRY: Duration = Duration::from_millis(20);

/// The clusters of this user that run, and what else is in the runtime folder. The folders of owners that were killed are
/// removed.
///
/// # Errors
/// The runtime folder cannot be read, or is not private.
pub fn survey() -> Result<Survey, Error> {
    Ok(folder::survey(&folder::base())?)
}

/// What this process needs to enter the network namespace of a running cluster, as [`Cluster::inside`](crate::Cluster::inside)
/// has it, but without a handle. A handle has a thread, and a process with threads cannot enter a user namespace itself. Must be
/// called in a runtime of tokio.
///
/// # Errors
/// No cluster of that name runs, its start has not made the namespace yet, or its owner does not answer.
pub async fn namespace_of(name: &ClusterName) -> Result<Option<NamespaceEntry>, Error> {
    Owner::find(&folder::base(), name.as_str())?.namespace().await
}

/// A cluster that another process of this user owns. Every request is a connection of its own.
#[derive(Debug)]
pub(crate) struct Client {
    owner: Owner,
    folder: PathBuf,
    /// The plan as the owner reports it. It closes when the owner or the cluster has ended.
    plan: watch::Receiver<Arc<Plan>>,
}

impl Client {
    /// Finds a cluster whose folder is under `base`, and connects to its owner.
    pub(crate) async fn attach(base: &Path, name: &str) -> Result<Self, Error> {
        let owner = Owner::find(base, name)?;
        let folder = base.join(owner.name.as_str());
        let asked = owner.clone();
        let plan = background::run(async move { asked.follow_plan().await }).await?;
        Ok(Self { owner, folder, plan })
    }

    pub(crate) fn name(&self) -> &ClusterName {
        &self.owner.name
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.plan.borrow().clone()
    }

    /// Waits until the plan that this process knows has an addition that the owner has made.
    pub(crate) async fn planned(&self, has: impl Fn(&Plan) -> bool) {
        // An error means that the cluster has ended, which the next request reports.
        let _ = self.plan.clone().wait_for(|plan| has(plan)).await;
    }

    /// Waits until the cluster or its owner has ended.
    pub(crate) async fn wait(&self) {
        let mut plan = self.plan.clone();
        while plan.changed().await.is_ok() {}
    }

    /// The events from the beginning. They end early if the owner cannot be reached.
    pub(crate) fn events(&self) -> Events {
        let log = EventLog::new();
        let events = log.listen();
        let (owner, plan) = (self.owner.clone(), self.plan.clone());
        match background::handle() {
            Ok(runtime) => drop(runtime.spawn(async move { owner.follow_events(log, plan).await })),
            Err(error) => tracing::warn!(?error, "cannot follow the events of a cluster"),
        }
        events
    }

    /// Sends a request and waits for the answer, however long it takes.
    pub(crate) async fn ask<T: DeserializeOwned + Send + 'static>(&self, verb: Verb) -> Result<T, Error> {
        let owner = self.owner.clone();
        background::run(async move { owner.ask(verb).await.map(|(_, value)| value) }).await
    }

    /// The same for a request that the owner answers at once.
    pub(crate) async fn ask_quick<T: DeserializeOwned + Send + 'static>(&self, verb: Verb) -> Result<T, Error> {
        let owner = self.owner.clone();
        background::run(async move { owner.ask_quick(verb).await.map(|(_, value)| value) }).await
    }

    /// The same for a request on which the owner itself waits for up to 30 seconds.
    pub(crate) async fn ask_slow<T: DeserializeOwned + Send + 'static>(&self, verb: Verb) -> Result<T, Error> {
        let owner = self.owner.clone();
        background::run(async move { owner.within(START_TIMEOUT, owner.ask(verb)).await.map(|(_, value)| value) }).await
    }

    pub(crate) async fn stop(&self) -> Result<(), Error> {
        match self.ask(Verb::Stop).await {
            // Another process had asked before, and the owner is gone now.
            Err(Error::Ended | Error::NotRunning(_)) => Ok(()),
            other => other,
        }
    }

    pub(crate) async fn spawn(&self, node: NodeId, command: Command) -> Result<Execution, Error> {
        let owner = self.owner.clone();
        background::run(async move {
            let asked = owner.ask(Verb::Exec { node, command: command.clone() });
            let (stream, ()) = owner.within(START_TIMEOUT, asked).await?;
            Ok(execution::follow(stream, &command).on(node))
        })
        .await
    }

    pub(crate) async fn copy_to(&self, node: NodeId, local: &Path, remote: PathBuf) -> Result<Copied, Error> {
        self.ask(Verb::CopyTo { node, local: absolute(local)?, remote }).await
    }

    pub(crate) async fn copy_from(&self, node: NodeId, remote: PathBuf, local: &Path) -> Result<Copied, Error> {
        self.ask(Verb::CopyFrom { node, remote, local: absolute(local)? }).await
    }

    pub(crate) async fn console(&self, node: NodeId) -> Result<Console, Error> {
        let owner = self.owner.clone();
        background::run(async move {
            let (stream, ()) = owner.ask_quick(Verb::Console { node }).await?;
            Ok(join_console(node, stream))
        })
        .await
    }

    pub(crate) async fn connect(&self, node: NodeId, port: u16) -> Result<TcpStream, Error> {
        let owner = self.owner.clone();
        background::run(async move { owner.connect(node, port).await }).await
    }

    pub(crate) async fn namespace(&self) -> Result<Option<NamespaceEntry>, Error> {
        let owner = self.owner.clone();
        background::run(async move { owner.namespace().await }).await
    }
}

/// The owner of a cluster, and where it listens. Its requests must be made on a runtime.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) name: ClusterName,
    pub(super) socket: PathBuf,
}

impl Owner {
    /// Finds the owner of a cluster whose folder is under `base`.
    fn find(base: &Path, name: &str) -> Result<Self, Error> {
        let name = ClusterName::new(name).map_err(|error| Error::io("attach to a cluster", io::Error::other(error)))?;
        if !folder::running(base)?.contains(&name) {
            return Err(match folder::lost_owners(base).into_iter().find(|lost| lost.name == name) {
                Some(LostOwner { name, pid: owner, .. }) => Error::LostFolder { name, owner },
                None => Error::NotRunning(name),
            });
        }
        let socket = base.join(name.as_str()).join(SOCKET);
        Ok(Self { name, socket })
    }

    /// Sends a request and reads the answer; what follows it can be read from the stream.
    pub(super) async fn ask<T: DeserializeOwned>(&self, verb: Verb) -> Result<(UnixStream, T), Error> {
        let mut stream = UnixStream::connect(&self.socket).await.map_err(|error| match error.kind() {
            // The owner has ended, or is about to.
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Error::NotRunning(self.name.clone()),
            _ => self.unreachable(error),
        })?;
        let answer = match send(&mut stream, &Request { version: VERSION, verb }).await {
            Ok(()) => receive(&mut stream).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Answer::Ok(value)) => Ok((stream, value)),
            Ok(Answer::Error(error)) => Err(Error::Owner(error)),
            Err(error) if hung_up(&error) => Err(Error::Ended),
            Err(error) => Err(self.unreachable(error)),
        }
    }

    async fn ask_quick<T: DeserializeOwned>(&self, verb: Verb) -> Result<(UnixStream, T), Error> {
        self.quick(self.ask(verb)).await
    }

    /// Fails a request that takes too long.
    async fn quick<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        self.within(ANSWER_TIMEOUT, request).await
    }

    async fn within<T>(&self, limit: Duration, request: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(limit, request).await.map_err(|error| self.unreachable(error.into()))?
    }

    /// Whether the cluster is still running some time after its owner has hung up: one that ends frees its folder.
    async fn keeps_running(&self) -> bool {
        let Some(base) = self.socket.parent().and_then(Path::parent) else { return false };
        let begun = Instant::now();
        while folder::running(base).is_ok_and(|running| running.contains(&self.name)) {
            if begun.elapsed() > END_TIMEOUT {
                return true;
            }
            sleep(LISTEN_RETRY).await;
        }
        false
    }

    /// Follows the plan in a task, until the cluster ends or the receiver is dropped.
    async fn follow_plan(&self) -> Result<watch::Receiver<Arc<Plan>>, Error> {
        let begun = Instant::now();
        let first = async {
            loop {
                match self.ask(Verb::Plans).await {
                    Err(Error::NotRunning(_)) if begun.elapsed() < LISTEN_TIMEOUT && !self.socket.exists() => {
                        sleep(LISTEN_RETRY).await;
                    }
                    other => return other,
                }
            }
        };
        let (mut stream, plan): (_, Plan) = match self.quick(first).await {
            Err(Error::Ended) if self.keeps_running().await => {
                let text = "it closes the connection, so it may be of another version of xcluster";
                return Err(self.unreachable(io::Error::other(text)));
            }
            first => first?,
        };
        let (publish, published) = watch::channel(Arc::new(plan));
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    plan = receive::<Plan>(&mut stream) => match plan {
                        Ok(plan) => drop(publish.send_replace(Arc::new(plan))),
                        Err(_) => return,
                    },
                    () = publish.closed() => return,
                }
            }
        });
        Ok(published)
    }

    /// Follows the events in a task, until the cluster ends or no listener is left. The plan may come later than an event, over its
    /// own connection; a listener finds the node of an event in it all the same.
    async fn follow_events(&self, log: EventLog, mut plan: watch::Receiver<Arc<Plan>>) {
        let Ok((mut stream, ())) = self.ask_quick(Verb::Events).await else { return };
        loop {
            tokio::select! {
                event = receive(&mut stream) => match event {
                    Ok(event) => {
                        if let Some(node) = node_of(&event) {
                            let _ = plan.wait_for(|plan| plan.node(node).is_some()).await;
                        }
                        log.note(event);
                    }
                    // Without a last event: the owner was killed.
                    Err(_) => return,
                },
                () = log.unheard() => return,
            }
        }
    }

    pub(super) async fn connect(&self, node: NodeId, port: u16) -> Result<TcpStream, Error> {
        let connected = async {
            let (stream, ()) = self.ask(Verb::Connect { node, port }).await?;
            descriptors::take_stream(&stream).await.map_err(|error| self.unreachable(error))
        };
        self.quick(connected).await
    }

    pub(super) async fn namespace(&self) -> Result<Option<NamespaceEntry>, Error> {
        let asked = async {
            let (stream, files) = self.ask::<NamespaceFiles>(Verb::Namespace).await?;
            descriptors::take_namespace(&stream, files).await.map_err(|error| self.unreachable(error))
        };
        self.quick(asked).await
    }

    fn unreachable(&self, source: io::Error) -> Error {
        Error::io(format!("talk to the owner of cluster `{}`", self.name), source)
    }
}

/// The node whose step an event reports.
fn node_of(event: &Event) -> Option<NodeId> {
    match event {
        Event::Begin { step } | Event::Done { step, .. } | Event::Failed { step, .. } => match step {
            Step::Setup { node, .. } | Step::Boot { node } => Some(*node),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the owner has ended meanwhile, before or after it took the connection.
fn hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

/// A console whose bytes go over this stream, which closes when neither its output nor its input is of use any more.
fn join_console(node: NodeId, stream: UnixStream) -> Console {
    let (mut reader, mut writer) = stream.into_split();
    let (output, shown) = mpsc::channel(PIECES);
    let (input, mut typed) = mpsc::channel::<Vec<u8>>(PIECES);
    let typing = tokio::spawn(async move {
        while let Some(bytes) = typed.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 4096];
        loop {
            let count = tokio::select! {
                count = reader.read(&mut buffer) => count,
                () = output.closed() => return,
            };
            match count {
                Ok(count @ 1..) => {
                    if output.send(buffer[..count].to_vec()).await.is_err() {
                        return;
                    }
                }
                // The node or its owner has ended: the input is dropped.
                Ok(0) | Err(_) => return typing.abort(),
            }
        }
    });
    Console::new(node, shown, input)
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    let absolute = std::path::absolute(path);
    let absolute = absolute.map_err(|source| Error::io(format!("use the path `{}`", path.display()), source))?;
    // `absolute` drops a slash at the end, which says that a folder is meant.
    let folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    Ok(if folder { absolute.join("") } else { absolute })
}
