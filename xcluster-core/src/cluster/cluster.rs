//! A running cluster, for those who use it. Everything is done on the cluster's own thread; the handles send and wait.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::{oneshot, watch};

use super::builder::Builder;
use super::error::Error;
use super::event::{Event, EventLog, Events};
use super::node::Node;
use super::node_ref::{IntoNodeBoot, IntoNodeId};
use super::runtime::{ClusterThread, Phase, State, end, requests, start};
use super::status::{ClusterStatus, NamedPort};
use crate::guest::exec::{Command, Output};
use crate::host::namespace::NamespaceEntry;
use crate::host::{Folder, folder};
use crate::name::{ClusterName, NetId, NodeId};
use crate::net::PortConfig;
use crate::plan::Plan;

/// A running cluster. It lives as long as this value and the process that holds it, whichever ends first: dropping it, a
/// panic, a signal, `kill -9` of the process all end every node, and nothing is left.
///
/// The handles need no particular runtime and may be shared between threads.
#[derive(Debug)]
pub struct Cluster {
    pub(super) shared: Arc<Shared>,
}

/// What a cluster and the handles of its nodes share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: ClusterName,
    pub(super) plan: watch::Receiver<Arc<Plan>>,
    pub(super) folder: PathBuf,
    pub(super) thread: ClusterThread,
    /// Nothing seen of it yet. The log itself is the thread's, so that it ends with the cluster.
    events: Events,
    phase: watch::Receiver<Phase>,
}

impl Cluster {
    /// What to start: see [`Builder`].
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Starts a cluster and waits until every node is ready.
    ///
    /// # Errors
    /// The cluster is not as it can be, or something failed; then nothing is left of it.
    pub async fn start(builder: Builder) -> Result<Self, Error> {
        let cluster = Self::begin(&builder)?;
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Starts a cluster without waiting: [`ready`](Self::ready) does that, and [`events`](Self::events) tells meanwhile.
    ///
    /// # Errors
    /// The cluster is not as it can be, or its name is in use.
    pub fn begin(builder: &Builder) -> Result<Self, Error> {
        Self::begin_with(builder, true)
    }

    pub(super) fn begin_with(builder: &Builder, all: bool) -> Result<Self, Error> {
        let plan = builder.plan().map_err(Error::Invalid)?;
        let backends = builder.registry().map_err(Error::Invalid)?;
        let base = builder.base();
        // What owners that were killed have left goes now: somebody has to do it, and this is the next command.
        let swept = folder::sweep(&base)?;
        let name = plan.name.clone();
        let folder = Folder::create(&base, &name)?;
        let path = folder.path().to_owned();
        let log = Arc::new(EventLog::new());
        for foreign in swept.foreign {
            log.note(Event::Note { text: foreign.to_string() });
        }
        let events = log.listen();
        let (publish, phase) = watch::channel(Phase::Starting);
        let (publish_plan, plan) = watch::channel(Arc::new(plan));
        let make = move || State::new(publish_plan, backends, folder, log, publish);
        let thread = ClusterThread::start(format!("xcluster-{name}"), make, end);
        let thread = thread.map_err(|source| Error::io("start the cluster's thread", source))?;
        let shared = Arc::new(Shared { name, plan, folder: path, thread, events, phase });
        // The answer is of no interest: the start goes on by itself.
        drop(shared.thread.call(async move |state| start(&state, all)));
        Ok(Self { shared })
    }

    /// Waits until every node is ready; of a cluster that is opened, until nodes can be booted.
    ///
    /// # Errors
    /// The start failed; everything was undone.
    pub async fn ready(&self) -> Result<(), Error> {
        self.shared.ready().await
    }

    /// What happens to the cluster, from the beginning.
    pub fn events(&self) -> Events {
        self.shared.events.clone()
    }

    /// Its name.
    pub fn name(&self) -> &ClusterName {
        &self.shared.name
    }

    /// The plan as it is now: [`boot`](Self::boot) may add to it, and change what it says of a node.
    pub fn plan(&self) -> Arc<Plan> {
        self.shared.plan.borrow().clone()
    }

    /// The folder with its logs; it goes when the cluster goes.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// A node, by number or name.
    ///
    /// # Errors
    /// The cluster has no such node.
    pub fn node(&self, node: impl IntoNodeId) -> Result<Node, Error> {
        let id = node.into_node_id().map_err(|asked| self.no_such_node(asked))?;
        match self.plan().node(id) {
            Some(_) => Ok(Node::new(self.shared.clone(), id)),
            None => Err(self.no_such_node(id.number().to_string())),
        }
    }

    pub(super) fn no_such_node(&self, asked: String) -> Error {
        Error::NoSuchNode { asked, there: self.plan().node_numbers() }
    }

    /// All nodes, in the order in which they are started.
    pub fn nodes(&self) -> Vec<Node> {
        let plan = self.plan();
        plan.nodes.iter().map(|planned| Node::new(self.shared.clone(), planned.node.id)).collect()
    }

    /// How the cluster is.
    ///
    /// # Errors
    /// It has ended.
    pub async fn status(&self) -> Result<ClusterStatus, Error> {
        self.shared.thread.call(async |state| state.status()).await
    }

    /// The way for a program of this host into the network namespace that the cluster's networks are in, where it has every
    /// privilege: `tcpdump` on a bridge, `nft`, `curl` to a node's address. None if the cluster has no namespace of its own
    /// because no backend needs one, or is in the one that its owner is in.
    ///
    /// # Errors
    /// The start has not come to it yet, or the cluster has ended.
    pub async fn inside(&self) -> Result<Option<NamespaceEntry>, Error> {
        self.shared.call(requests::namespace).await
    }

    /// Runs a command on several nodes at the same time, and gives every result, in the order of the nodes.
    pub async fn exec_on(&self, nodes: &[NodeId], command: impl Into<Command>) -> Vec<(NodeId, Result<Output, Error>)> {
        let command = command.into();
        let runs = nodes.iter().map(|id| {
            let command = command.clone();
            async move {
                let output = match self.node(*id) {
                    Ok(node) => node.exec(command).await,
                    Err(error) => Err(error),
                };
                (*id, output)
            }
        });
        join_all(runs).await
    }

    /// Does everything of a start but the nodes: the network namespace, what backends lock, QEMU and the guest, the nets. The
    /// nodes of the plan wait until they are [booted](Self::boot), in whichever order.
    ///
    /// # Errors
    /// The cluster is not as it can be, or something failed; then nothing is left of it.
    pub async fn open(builder: Builder) -> Result<Self, Error> {
        let cluster = Self::begin_open(&builder)?;
        cluster.ready().await?;
        Ok(cluster)
    }

    /// Opens a cluster without waiting, as [`begin`](Self::begin) starts one.
    ///
    /// # Errors
    /// The cluster is not as it can be, or its name is in use.
    pub fn begin_open(builder: &Builder) -> Result<Self, Error> {
        Self::begin_with(builder, false)
    }

    /// Boots a node that does not run, as planned or with what a [`NodeBoot`](crate::plan::NodeBoot) says, and waits until it is ready. The order is
    /// the caller's, and several nodes may be booted at once. Waits for a start that is under way. A boot that
    /// the caller does not wait for to its end is called off.
    ///
    /// The node need not be planned, nor the nets exist; what is new comes into the [`plan`](Self::plan) and stays there. A
    /// node's names of the others (`/etc/hosts`) and its routes are those of the plan when it is booted: nodes that run
    /// already keep theirs.
    ///
    /// # Errors
    /// The node runs, or cannot be as asked, or it failed: then what was begun for it is undone, and the cluster goes on. Nets
    /// that were made for it stay once they are there.
    pub async fn boot(&self, what: impl IntoNodeBoot) -> Result<Node, Error> {
        let what = what.into_node_boot().map_err(|asked| self.no_such_node(asked))?;
        self.ready().await?;
        let id = what.node;
        let (waits, caller_left) = oneshot::channel();
        self.shared.call(async move |state| requests::boot(state, what, caller_left).await).await?;
        drop(waits);
        Ok(Node::new(self.shared.clone(), id))
    }

    /// Wires a NIC of a node that does not run, for a QEMU that the caller starts in this process: its args, with the
    /// descriptors that they refer to and the place where it must run. What the plan does not have is added: the node, as its
    /// role has it, the net, and the NIC after the node's others. A repeated call answers the same.
    ///
    /// The node's [boot](Self::boot), its stop, and the end of the cluster undo the wiring, as [`tear_down_port`](Self::tear_down_port) does:
    /// the QEMU is to be gone by then.
    ///
    /// # Errors
    /// The node runs, or cannot be as asked, or its backend failed; then nothing is wired.
    pub async fn set_up_port(&self, node: impl IntoNodeId, net: NetId) -> Result<PortConfig, Error> {
        let id = node.into_node_id().map_err(|asked| self.no_such_node(asked))?;
        self.ready().await?;
        self.shared.call(async move |state| requests::set_up_port(state, id, net).await).await
    }

    /// The same for a QEMU that any process starts, in the cluster's network namespace if it has one: a tap that is a
    /// descriptor gets to be one by name, and [`set_up_port`](Self::set_up_port) is of no use for it any more.
    ///
    /// # Errors
    /// As with [`set_up_port`](Self::set_up_port), or the args refer to descriptors that are no taps.
    pub async fn set_up_named_port(&self, node: impl IntoNodeId, net: NetId) -> Result<NamedPort, Error> {
        let id = node.into_node_id().map_err(|asked| self.no_such_node(asked))?;
        self.ready().await?;
        self.shared.call(async move |state| requests::set_up_named_port(state, id, net).await).await
    }

    /// Undoes the setup of a port, if there is one.
    ///
    /// # Errors
    /// The node runs, or something could not be removed.
    pub async fn tear_down_port(&self, node: impl IntoNodeId, net: NetId) -> Result<(), Error> {
        let id = node.into_node_id().map_err(|asked| self.no_such_node(asked))?;
        self.ready().await?;
        self.shared.call(async move |state| requests::tear_down_port(state, id, net).await).await
    }

    /// Waits until the cluster has ended because its folder was removed.
    pub(crate) async fn lost(&self) -> Error {
        let mut phase = self.shared.phase.clone();
        match phase.wait_for(|phase| matches!(phase, Phase::Lost)).await {
            Ok(_) => self.shared.lost(),
            Err(_) => Error::Ended,
        }
    }

    /// Stops every node and waits until nothing is left. Dropping the cluster does the same but cannot report.
    ///
    /// # Errors
    /// Something could not be removed; the error says what.
    pub async fn stop(self) -> Result<(), Error> {
        self.end().await
    }

    /// The same, for an owner that others still hold handles of.
    pub(crate) async fn end(&self) -> Result<(), Error> {
        let stopped = self.shared.thread.call(requests::stop).await?;
        self.shared.thread.end();
        stopped
    }
}

/// Quick, since killing processes is: what takes long, a backend's own removal, has deadlines of its own.
impl Drop for Cluster {
    fn drop(&mut self) {
        self.shared.thread.end();
    }
}

impl Shared {
    /// Waits until the start is over.
    pub(super) async fn ready(&self) -> Result<(), Error> {
        let mut phase = self.phase.clone();
        match phase.wait_for(|phase| !matches!(phase, Phase::Starting)).await.as_deref() {
            Ok(Phase::Ready) => Ok(()),
            Ok(Phase::Failed(failure)) => Err(Error::Start(failure.clone())),
            Ok(Phase::Lost) => Err(self.lost()),
            Ok(Phase::Starting) | Err(_) => Err(Error::Ended),
        }
    }

    fn lost(&self) -> Error {
        Error::LostFolder { name: self.name.clone(), owner: std::process::id() }
    }

    /// Runs work on the cluster's thread.
    pub(super) fn call<T: Send + 'static>(
        &self,
        work: impl AsyncFnOnce(Rc<State>) -> Result<T, Error> + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'static {
        let (answer, phase, lost) = (self.thread.call(work), self.phase.clone(), self.lost());
        async move {
            let outcome = answer.await?;
            if outcome.is_err() && matches!(*phase.borrow(), Phase::Lost) { Err(lost) } else { outcome }
        }
    }
}

impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)
    }
}
