//! A node of a running cluster, for those who use it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::cluster::Shared;
use super::console::Console;
use super::error::Error;
use super::runtime::requests;
use super::status::NodeStatus;
use crate::guest::Copied;
use crate::guest::exec::{Command, Execution, Output};
use crate::name::NodeId;

/// A node of a running cluster. It may be cloned and kept; once the cluster has ended, every call says so.
#[derive(Debug, Clone)]
pub struct Node {
    shared: Arc<Shared>,
    id: NodeId,
}

impl Node {
    pub(super) fn new(shared: Arc<Shared>, id: NodeId) -> Self {
        Self { shared, id }
    }

    /// Its number.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its host name.
    pub fn name(&self) -> String {
        self.id.to_string()
    }

    /// Runs a command and collects what it says. A text is a line for the guest's shell.
    ///
    /// That the command ended badly is no error here: [`Output::ok`] makes it one.
    ///
    /// # Errors
    /// The node cannot be used, or the command could not be run to its end.
    pub async fn exec(&self, command: impl Into<Command>) -> Result<Output, Error> {
        let execution = self.spawn(command).await?;
        execution.output().await.map_err(|source| Error::Exec { node: self.id, source })
    }

    /// Starts a command, whose output can be followed and which can be written to.
    ///
    /// # Errors
    /// The node cannot be used, or the command could not be started.
    pub async fn spawn(&self, command: impl Into<Command>) -> Result<Execution, Error> {
        let (id, command) = (self.id, command.into());
        self.shared.call(async move |state| requests::spawn(state, id, command).await).await
    }

    /// Copies a file of this host to the node, with its permissions. A target that ends in `/` is a directory.
    ///
    /// # Errors
    /// The node cannot be used, or the file did not arrive; then nothing of it is there.
    pub async fn put(&self, local: impl AsRef<Path>, remote: impl AsRef<Path>) -> Result<Copied, Error> {
        let (id, local, remote) = (self.id, local.as_ref().to_owned(), remote.as_ref().to_owned());
        self.shared.call(async move |state| requests::put(state, id, local, remote).await).await
    }

    /// Copies a file of the node to this host, with its permissions. A target that is a directory gets it under its name.
    ///
    /// # Errors
    /// The node cannot be used, or the file did not arrive; then nothing of it is there.
    pub async fn get(&self, remote: impl AsRef<Path>, local: impl AsRef<Path>) -> Result<Copied, Error> {
        let (id, remote, local) = (self.id, remote.as_ref().to_owned(), local.as_ref().to_owned());
        self.shared.call(async move |state| requests::get(state, id, remote, local).await).await
    }

    /// Joins the node's serial console.
    ///
    /// # Errors
    /// The node has not been started.
    pub async fn console(&self) -> Result<Console, Error> {
        let id = self.id;
        self.shared.call(async move |state| requests::console(state, id).await).await
    }

    /// What the console has shown, at most its last 256 KiB; more is in the log, `vm-001.console` in the cluster's folder.
    /// Also of a node that has ended.
    ///
    /// # Errors
    /// The node has not been started.
    pub async fn console_text(&self) -> Result<String, Error> {
        let id = self.id;
        self.shared.call(async move |state| requests::console_text(state, id).await).await
    }

    /// Where anybody on this host finds a TCP port of the node, if there is such a place: telnet is 23, ssh 22. Without one,
    /// [`connect`](Self::connect) may still have a way.
    ///
    /// # Errors
    /// The cluster has ended.
    pub async fn address(&self, port: u16) -> Result<Option<SocketAddr>, Error> {
        let id = self.id;
        self.shared.call(async move |state| requests::address(state, id, port).await).await
    }

    /// Connects to a TCP port of the node, on whichever net the host reaches it: from this process, which may be in another
    /// network namespace than the node's networks. The stream blocks, as one of the standard library does.
    ///
    /// # Errors
    /// The host has no access to that port, or nobody accepts there within ten seconds.
    pub async fn connect(&self, port: u16) -> Result<std::net::TcpStream, Error> {
        let id = self.id;
        self.shared.call(async move |state| requests::connect(state, id, port).await).await
    }

    /// Gives the node's QEMU a command over its monitor (QMP) and waits for the answer, half a minute at most: `set_link`,
    /// `query-block`…. Arguments are an object, or null for none.
    ///
    /// # Errors
    /// The node does not run, or QEMU refused.
    pub async fn qmp(&self, command: &str, arguments: serde_json::Value) -> Result<serde_json::Value, Error> {
        let (id, command) = (self.id, command.to_owned());
        self.shared.call(async move |state| requests::qmp(state, id, command, arguments).await).await
    }

    /// Ends this node alone: its QEMU, booting or running, and what is wired for it. [`Cluster::boot`](super::Cluster::boot)
    /// starts it again. Of one that does not run, what it left is undone. Waits for a start that is under way.
    ///
    /// # Errors
    /// Something could not be removed; the error says what.
    pub async fn stop(&self) -> Result<(), Error> {
        let id = self.id;
        self.shared.ready().await?;
        self.shared.call(async move |state| requests::stop_node(state, id).await).await
    }

    /// How the node is.
    ///
    /// # Errors
    /// The cluster has ended.
    pub async fn status(&self) -> Result<NodeStatus, Error> {
        let id = self.id;
        self.shared.call(async move |state| requests::node_status(state, id).await).await
    }
}
