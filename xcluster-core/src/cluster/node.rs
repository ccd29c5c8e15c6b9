//! The handle of a node.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::background;
use super::console::Console;
use super::control::Verb;
use super::error::Error;
use super::forward::LocalForward;
use super::link::Link;
use super::runtime::requests;
use super::status::NodeStatus;
use crate::guest::Copied;
use crate::guest::exec::{Command, Execution, Output};
use crate::name::{NetId, NodeId};
use crate::net::Port;

/// How often a command is repeated. No event says when it would succeed.
const UNTIL_RETRY: Duration = Duration::from_millis(200);

/// A node of a running cluster. It may be cloned and kept; once the cluster has ended, every call fails.
#[derive(Debug, Clone)]
pub struct Node {
    link: Arc<Link>,
    id: NodeId,
}

impl Node {
    pub(super) fn new(link: Arc<Link>, id: NodeId) -> Self {
        Self { link, id }
    }

    /// Its number.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its host name.
    pub fn name(&self) -> String {
        self.id.to_string()
    }

    /// Runs a command and collects its output. A text is a line for the guest's shell.
    ///
    /// A command that ends unsuccessfully is no error here: [`Output::ok`] makes it one.
    ///
    /// # Errors
    /// The node cannot be used, or the command could not be run to its end.
    pub async fn exec(&self, command: impl Into<Command>) -> Result<Output, Error> {
        let execution = self.spawn(command).await?;
        execution.output().await.map_err(|error| Error::Exec { node: self.id, error })
    }

    /// Runs a command that must succeed. Returns its standard output as text, without the white space around it.
    ///
    /// # Errors
    /// The command did not succeed: the error has the node, the command and the end of its output. Or as [`exec`](Self::exec).
    pub async fn run(&self, command: impl Into<Command>) -> Result<String, Error> {
        let output = self.exec(command).await?.ok().map_err(|error| Error::Exec { node: self.id, error })?;
        Ok(output.text().into_owned())
    }

    /// Repeats a command until it succeeds, several times a second. An attempt that is still running at the deadline is killed.
    ///
    /// # Errors
    /// It did not succeed before the deadline: the error has the last attempt. Or as [`exec`](Self::exec).
    pub async fn until(&self, command: impl Into<Command>, deadline: Duration) -> Result<Output, Error> {
        let (command, begun) = (command.into(), Instant::now());
        loop {
            let left = deadline.saturating_sub(begun.elapsed()).max(UNTIL_RETRY);
            let attempt = command.clone().at_most(left);
            match self.exec(attempt).await?.ok() {
                Ok(output) => return Ok(output),
                Err(source) if begun.elapsed() >= deadline => return Err(Error::Until { waited: deadline, source }),
                Err(_) => background::sleep(UNTIL_RETRY).await?,
            }
        }
    }

    /// Starts a command, whose output can be followed and which can be written to. It is killed when the execution is dropped or
    /// this process ends.
    ///
    /// # Errors
    /// The node cannot be used, or the command could not be started.
    pub async fn spawn(&self, command: impl Into<Command>) -> Result<Execution, Error> {
        let (node, command) = (self.id, command.into());
        match &*self.link {
            Link::Owned(owned) => owned.call(async move |state| requests::spawn(state, node, command).await).await,
            Link::Attached(client) => client.spawn(node, command).await,
        }
    }

    /// Copies a file of this host to the node, with its permissions. A target that ends in `/` is a directory.
    ///
    /// # Errors
    /// The node cannot be used, or the file did not arrive; then nothing of it is there.
    pub async fn copy_to(&self, local: impl AsRef<Path>, remote: impl AsRef<Path>) -> Result<Copied, Error> {
        let (node, local, remote) = (self.id, local.as_ref().to_owned(), remote.as_ref().to_owned());
        match &*self.link {
            Link::Owned(owned) => {
                owned.call(async move |state| requests::copy_to(state, node, local, remote).await).await
            }
            Link::Attached(client) => client.copy_to(node, &local, remote).await,
        }
    }

    /// Copies a file of the node to this host, with its permissions. A target that is a directory gets it under its name.
    ///
    /// # Errors
    /// The node cannot be used, or the file did not arrive; then nothing of it is there.
    pub async fn copy_from(&self, remote: impl AsRef<Path>, local: impl AsRef<Path>) -> Result<Copied, Error> {
        let (node, remote, local) = (self.id, remote.as_ref().to_owned(), local.as_ref().to_owned());
        match &*self.link {
            Link::Owned(owned) => {
                owned.call(async move |state| requests::copy_from(state, node, remote, local).await).await
            }
            Link::Attached(client) => client.copy_from(node, remote, &local).await,
        }
    }

    /// Joins the node's serial console.
    ///
    /// # Errors
    /// The node has not been started.
    pub async fn console(&self) -> Result<Console, Error> {
        let node = self.id;
        match &*self.link {
            Link::Owned(owned) => owned.call(async move |state| requests::console(state, node).await).await,
            Link::Attached(client) => client.console(node).await,
        }
    }

    /// The end of what the console has shown, at most 256 KiB; more is in the log, `vm-001.console` in the cluster's folder.
    /// Also of a node that has ended.
    ///
    /// # Errors
    /// The node has not been started.
    pub async fn console_text(&self) -> Result<String, Error> {
        let node = self.id;
        match &*self.link {
            Link::Owned(owned) => owned.call(async move |state| requests::console_text(state, node).await).await,
            Link::Attached(client) => client.ask_quick(Verb::ConsoleText { node }).await,
        }
    }

    /// The last messages of the node's QEMU on its standard error, at most 8 KiB. Also of a node that has ended.
    ///
    /// # Errors
    /// The node has not been started.
    pub async fn qemu_messages(&self) -> Result<String, Error> {
        let node = self.id;
        match &*self.link {
            Link::Owned(owned) => owned.call(async move |state| requests::qemu_messages(state, node).await).await,
            Link::Attached(client) => client.ask_quick(Verb::QemuMessages { node }).await,
        }
    }

    /// The address where every process of this host finds a TCP port of the node, if there is one: telnet is 23, ssh 22.
    /// [`connect`](Self::connect) may have access without one.
    ///
    /// # Errors
    /// The cluster has ended.
    pub async fn address(&self, port: u16) -> Result<Option<SocketAddr>, Error> {
        let node = self.id;
        match &*self.link {
            Link::Owned(owned) => owned.call(async move |state| requests::address(state, node, port).await).await,
            Link::Attached(client) => client.ask_quick(Verb::Address { node, port }).await,
        }
    }

    /// Connects to a TCP port of the node, on the first net over which its owner reaches it: this process may be in another
    /// network namespace than the node's networks. The stream blocks, as one of the standard library does. It outlives the
    /// owner of a cluster of another process.
    ///
    /// # Errors
    /// The host has no access to that port, or the connection is not accepted within ten seconds. With the backend `user`, QEMU
    /// accepts it before the node does, so that a port on which nothing listens looks open and closes at once.
    pub async fn connect(&self, port: u16) -> Result<std::net::TcpStream, Error> {
        let node = self.id;
        match &*self.link {
            Link::Owned(owned) => owned.call(async move |state| requests::connect(state, node, port).await).await,
            Link::Attached(client) => client.connect(node, port).await,
        }
    }

    /// The same as a stream of tokio, in whose runtime the caller must be.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_tokio(&self, port: u16) -> Result<tokio::net::TcpStream, Error> {
        let stream = self.connect(port).await?;
        let stream = stream.set_nonblocking(true).and_then(|()| tokio::net::TcpStream::from_std(stream));
        stream.map_err(|source| Error::Connect { node: self.id, port, source })
    }

    /// Listens on an address of this host, and leads its connections to a TCP port of the node, until the value is dropped. Port
    /// 0 takes a free one.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn forward(&self, listen: SocketAddr, port: u16) -> Result<LocalForward, Error> {
        let node = self.clone();
        let connect = move || {
            let node = node.clone();
            async move { node.connect_tokio(port).await }
        };
        LocalForward::open(listen, connect).await
    }

    /// The node's IPv4 address on a net, if it has a NIC there.
    pub fn ipv4(&self, net: impl Into<NetId>) -> Option<Ipv4Addr> {
        self.port(net.into(), |port| port.ipv4())
    }

    /// The node's IPv6 address on a net, if it has a NIC there.
    pub fn ipv6(&self, net: impl Into<NetId>) -> Option<Ipv6Addr> {
        self.port(net.into(), |port| port.ipv6())
    }

    fn port<T>(&self, net: NetId, read: impl FnOnce(&Port) -> T) -> Option<T> {
        let plan = self.link.plan();
        let nic = plan.node(self.id)?.nics.iter().find(|nic| nic.port.net.id == net)?;
        Some(read(&nic.port))
    }

    /// Sends the node's QEMU a command over its monitor (QMP) and waits for the answer, at most 30 seconds: `set_link`,
    /// `query-block`…. Arguments are an object, or null for none.
    ///
    /// # Errors
    /// The node does not run, or QEMU refused.
    pub async fn qmp(&self, command: &str, arguments: serde_json::Value) -> Result<serde_json::Value, Error> {
        let (node, command) = (self.id, command.to_owned());
        match &*self.link {
            Link::Owned(owned) => {
                owned.call(async move |state| requests::qmp(state, node, command, arguments).await).await
            }
            Link::Attached(client) => client.ask_slow(Verb::Qmp { node, command, arguments }).await,
        }
    }

    /// Kills the node's QEMU at once, for tests of failures. The node has failed then, its ports stay, and the others go on;
    /// [`Cluster::boot`](super::Cluster::boot) starts it again.
    ///
    /// # Errors
    /// The node does not run.
    pub async fn kill(&self) -> Result<(), Error> {
        let node = self.id;
        match &*self.link {
            Link::Owned(owned) => owned.call(async move |state| requests::kill_node(state, node).await).await,
            Link::Attached(client) => client.ask_slow(Verb::KillNode { node }).await,
        }
    }

    /// Stops this node alone, booting or running: kills its QEMU and tears down its ports.
    /// [`Cluster::boot`](super::Cluster::boot) starts it again. Of one that does not run, what it left is removed. Waits for a
    /// start that is under way.
    ///
    /// # Errors
    /// Something could not be removed; the error names it.
    pub async fn stop(&self) -> Result<(), Error> {
        let node = self.id;
        match &*self.link {
            Link::Owned(owned) => owned.call(async move |state| requests::stop_node(state, node).await).await,
            Link::Attached(client) => client.ask(Verb::StopNode { node }).await,
        }
    }

    /// The status of the node.
    ///
    /// # Errors
    /// The cluster has ended.
    pub async fn status(&self) -> Result<NodeStatus, Error> {
        let node = self.id;
        match &*self.link {
            Link::Owned(owned) => owned.call(async move |state| requests::node_status(state, node).await).await,
            Link::Attached(client) => client.ask_quick(Verb::NodeStatus { node }).await,
        }
    }
}
