//! The asker's side: a cluster that another process of this user owns.

use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::console::RemoteConsole;
use super::message::{Answer, Request, SOCKET, VERSION, Verb, Way, receive, send};
use super::{descriptors, execution};
use crate::cluster::{ClusterStatus, Error, Event};
use crate::guest::Copied;
use crate::guest::exec::{Command, Execution, Output};
use crate::host::folder::{self, LostOwner, Survey};
use crate::host::namespace::NamespaceEntry;
use crate::name::{ClusterName, NodeId};
use crate::plan::Plan;

/// How long an owner may take to answer what it knows. Commands, copies and the end of a cluster take what they take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A cluster that another process of this user owns. Every call is a connection of its own. Must be used in a tokio
/// runtime.
#[derive(Debug, Clone)]
pub struct Remote {
    name: ClusterName,
    socket: PathBuf,
}

/// The clusters of this user that run, and what else is in the folder of clusters. The folders of owners that were killed are
/// removed.
///
/// # Errors
/// The folder of clusters cannot be read, or is not private.
pub fn survey() -> Result<Survey, Error> {
    Ok(folder::survey(&folder::base())?)
}

impl Remote {
    /// Finds a cluster by name.
    ///
    /// # Errors
    /// No cluster of that name lives.
    pub fn attach(name: &ClusterName) -> Result<Self, Error> {
        Self::attach_under(&folder::base(), name)
    }

    /// Finds a cluster whose folder is under `base`.
    ///
    /// # Errors
    /// No cluster of that name lives there.
    pub fn attach_under(base: &Path, name: &ClusterName) -> Result<Self, Error> {
        if !folder::running(base)?.contains(name) {
            return Err(match folder::lost_owners(base).into_iter().find(|lost| lost.name == *name) {
                Some(LostOwner { name, pid: owner, .. }) => Error::LostFolder { name, owner },
                None => Error::NotRunning(name.clone()),
            });
        }
        Ok(Self { name: name.clone(), socket: base.join(name.as_str()).join(SOCKET) })
    }

    /// The cluster's name.
    pub fn name(&self) -> &ClusterName {
        &self.name
    }

    /// How the cluster is.
    ///
    /// # Errors
    /// Its owner does not answer.
    pub async fn status(&self) -> Result<ClusterStatus, Error> {
        self.quick(Verb::Status).await
    }

    /// The plan as it is now.
    ///
    /// # Errors
    /// Its owner does not answer.
    pub async fn plan(&self) -> Result<Plan, Error> {
        self.quick(Verb::Plan).await
    }

    /// Stops the cluster and waits until nothing is left.
    ///
    /// # Errors
    /// Its owner cannot be reached, or not everything could be removed.
    pub async fn stop(&self) -> Result<(), Error> {
        match self.ask(Verb::Stop).await {
            // Somebody else had asked before, and the owner is gone now.
            Err(Error::Ended) => Ok(()),
            other => other.map(|(_, ())| ()),
        }
    }

    /// Runs a command on a node and collects what it says.
    ///
    /// # Errors
    /// The node cannot be used, or the command could not be run to its end.
    pub async fn exec(&self, node: NodeId, command: impl Into<Command>) -> Result<Output, Error> {
        let execution = self.spawn(node, command).await?;
        execution.output().await.map_err(|source| Error::Exec { node, source })
    }

    /// Starts a command on a node. It is killed when the execution is dropped or this process ends.
    ///
    /// # Errors
    /// The node cannot be used, or the command could not be started.
    pub async fn spawn(&self, node: NodeId, command: impl Into<Command>) -> Result<Execution, Error> {
        let command = command.into();
        let (stream, ()) = self.ask(Verb::Exec { node, command: command.clone() }).await?;
        Ok(execution::follow(stream, &command))
    }

    /// Copies a file of this host to a node.
    ///
    /// # Errors
    /// The node cannot be used, or the file did not arrive; then nothing of it is there.
    pub async fn put(&self, node: NodeId, local: &Path, remote: &Path) -> Result<Copied, Error> {
        let verb = Verb::Put { node, local: absolute(local)?, remote: remote.to_owned() };
        self.ask(verb).await.map(|(_, copied)| copied)
    }

    /// Copies a file of a node to this host.
    ///
    /// # Errors
    /// The node cannot be used, or the file did not arrive; then nothing of it is there.
    pub async fn get(&self, node: NodeId, remote: &Path, local: &Path) -> Result<Copied, Error> {
        let verb = Verb::Get { node, remote: remote.to_owned(), local: absolute(local)? };
        self.ask(verb).await.map(|(_, copied)| copied)
    }

    /// Joins a node's serial console.
    ///
    /// # Errors
    /// The node has not been started.
    pub async fn console(&self, node: NodeId) -> Result<RemoteConsole, Error> {
        let (stream, ()) = self.ask(Verb::Console { node }).await?;
        Ok(RemoteConsole::new(stream))
    }

    /// What a node's console has shown, at most its last 256 KiB.
    ///
    /// # Errors
    /// The node has not been started.
    pub async fn console_text(&self, node: NodeId) -> Result<String, Error> {
        self.quick(Verb::ConsoleText { node }).await
    }

    /// Connects to a TCP port of a node, on whichever net the owner reaches it. The owner connects and hands the connection
    /// over, so that it has no part in what is said on it. The stream blocks, as one of the standard library does.
    ///
    /// # Errors
    /// The owner has no access to that port, or nobody accepts there within ten seconds.
    pub async fn connect(&self, node: NodeId, port: u16) -> Result<TcpStream, Error> {
        let connected = async {
            let (stream, ()) = self.ask(Verb::Connect { node, port }).await?;
            descriptors::take_stream(&stream).await.map_err(|error| self.unreachable(error))
        };
        timeout(PATIENCE, connected).await.map_err(|error| self.unreachable(error.into()))?
    }

    /// The way for a program of this host into the network namespace that the cluster's networks are in, as
    /// [`Cluster::inside`](crate::Cluster::inside) has it.
    ///
    /// # Errors
    /// The start has not come to it yet, or the owner does not answer.
    pub async fn inside(&self) -> Result<Option<NamespaceEntry>, Error> {
        let asked = async {
            let (stream, way) = self.ask::<Way>(Verb::Namespace).await?;
            descriptors::take_inside(&stream, way).await.map_err(|error| self.unreachable(error))
        };
        timeout(PATIENCE, asked).await.map_err(|error| self.unreachable(error.into()))?
    }

    /// Passes every event of the cluster to `each`, from the beginning, until the cluster ends or `each` says that it has
    /// seen enough by returning false.
    ///
    /// # Errors
    /// The owner cannot be reached.
    pub async fn follow(&self, mut each: impl FnMut(Event) -> bool) -> Result<(), Error> {
        let (mut stream, ()) = self.ask(Verb::Events).await?;
        // An end without a last event: the owner was killed.
        while let Ok(event) = receive(&mut stream).await {
            if !each(event) {
                break;
            }
        }
        Ok(())
    }

    async fn quick<T: DeserializeOwned>(&self, verb: Verb) -> Result<T, Error> {
        let late = |error: tokio::time::error::Elapsed| self.unreachable(error.into());
        timeout(PATIENCE, self.ask(verb)).await.map_err(late)?.map(|(_, value)| value)
    }

    /// Sends a request and reads the answer; what follows it can be read from the stream.
    pub(super) async fn ask<T: DeserializeOwned>(&self, verb: Verb) -> Result<(UnixStream, T), Error> {
        let mut stream = UnixStream::connect(&self.socket).await.map_err(|error| match error.kind() {
            // The socket is there and nobody listens: its owner is about to be gone.
            io::ErrorKind::ConnectionRefused => Error::NotRunning(self.name.clone()),
            _ => self.unreachable(error),
        })?;
        let request = Request { version: VERSION, verb };
        let answer = match send(&mut stream, &request).await {
            Ok(()) => receive(&mut stream).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(Answer::Ok(value)) => Ok((stream, value)),
            Ok(Answer::Error(refusal)) => Err(Error::Owner(refusal)),
            Err(error) if hung_up(&error) => Err(Error::Ended),
            Err(error) => Err(self.unreachable(error)),
        }
    }

    fn unreachable(&self, source: io::Error) -> Error {
        Error::io(format!("talk to the owner of cluster `{}`", self.name), source)
    }
}

/// Whether the owner has ended meanwhile, before or after it took the connection.
fn hung_up(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    let absolute = std::path::absolute(path);
    let absolute = absolute.map_err(|source| Error::io(format!("use the path `{}`", path.display()), source))?;
    // `absolute` drops a slash at the end, which says that a folder is meant.
    let folder = path.as_os_str().as_encoded_bytes().ends_with(b"/");
    Ok(if folder { absolute.join("") } else { absolute })
}
