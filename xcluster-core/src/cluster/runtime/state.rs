//! The state of a cluster. Only its thread uses it, so it needs no lock.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, watch};

use super::networks::Networks;
use super::node_state::NodeRecord;
use super::prepare::Prepared;
use crate::cluster::error::{Error, StartFailure, leftovers};
use crate::cluster::event::{EventLog, Events};
use crate::cluster::status::{ClusterState, ClusterStatus, NetStatus};
use crate::host::Folder;
use crate::name::{ClusterName, NodeId};
use crate::net::Registry;
use crate::plan::{Plan, PlannedNode};

/// How far a cluster has come.
#[derive(Debug, Clone)]
pub(crate) enum Phase {
    /// It is being opened, or its nodes are being started.
    Starting,
    /// It is open, and all nodes that were to be started with it were ready.
    Ready,
    /// The start failed and was undone.
    Failed(Arc<StartFailure>),
    /// Its folder was removed, so that no other process could find it any more; it was taken down.
    Lost,
    /// It has ended, and this could not be removed.
    Stopped(Vec<String>),
}

/// How far a cluster has come, for those who wait for it.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    name: ClusterName,
    phase: watch::Receiver<Phase>,
}

impl Progress {
    pub(crate) fn new(name: ClusterName, phase: watch::Receiver<Phase>) -> Self {
        Self { name, phase }
    }

    /// Waits until the start is over.
    pub(crate) async fn ready(mut self) -> Result<(), Error> {
        let lost = self.lost();
        match self.phase.wait_for(|phase| !matches!(phase, Phase::Starting)).await.as_deref() {
            Ok(Phase::Ready) => Ok(()),
            Ok(Phase::Failed(failure)) => Err(Error::Start(failure.clone())),
            Ok(Phase::Lost) => Err(lost),
            Ok(Phase::Starting | Phase::Stopped(_)) | Err(_) => Err(Error::Ended),
        }
    }

    /// Waits until the cluster was taken down because its folder was removed or another process stopped it.
    pub(crate) async fn ended(mut self) -> Result<(), Error> {
        let lost = self.lost();
        match self.phase.wait_for(|phase| matches!(phase, Phase::Lost | Phase::Stopped(_))).await.as_deref() {
            Ok(Phase::Lost) => Err(lost),
            Ok(Phase::Stopped(left)) => leftovers(left.clone()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    pub(crate) fn is_lost(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Lost)
    }

    /// The error of a cluster that was lost.
    pub(crate) fn lost(&self) -> Error {
        Error::LostFolder { name: self.name.clone(), owner: std::process::id() }
    }
}

/// The state of a cluster.
#[derive(Debug)]
pub(crate) struct State {
    /// As it is now: nodes may come to it.
    plan: watch::Sender<Arc<Plan>>,
    phase: watch::Sender<Phase>,
    pub(super) events: Arc<EventLog>,
    nodes: RefCell<BTreeMap<NodeId, Rc<NodeRecord>>>,
    node_locks: RefCell<BTreeMap<NodeId, Arc<Mutex<()>>>>,
    /// The parts that all nodes share, once the cluster is open.
    prepared: OnceCell<Prepared>,
    /// Shared by everything that starts something, and held alone by a teardown of the cluster: a teardown that ran beside a
    /// start would miss what the start makes next.
    teardown: RwLock<()>,
    /// Held while something is added to the plan.
    adding: Mutex<()>,
    /// The cluster is being taken down: starts are cancelled, and the end of a node is not reported.
    ending: watch::Sender<bool>,
    pub(super) networks: Networks,
    /// Last, so that the name is free only when everything else is gone.
    pub(super) folder: Folder,
}

/// Held while a node boots, stops, or gets a port. A teardown of the cluster waits for it.
#[derive(Debug)]
#[must_use]
pub(super) struct NodeLock<'a> {
    _teardown: RwLockReadGuard<'a, ()>,
    _node: OwnedMutexGuard<()>,
}

impl State {
    pub(crate) fn new(
        plan: watch::Sender<Arc<Plan>>,
        backends: Registry,
        folder: Folder,
        events: Arc<EventLog>,
        phase: watch::Sender<Phase>,
    ) -> Self {
        let now = plan.borrow().clone();
        let nodes = now.nodes.iter().map(|planned| (planned.node.id, Rc::new(NodeRecord::new(planned.clone()))));
        Self {
            nodes: RefCell::new(nodes.collect()),
            networks: Networks::new(now.name.clone(), folder.path(), backends, events.clone()),
            plan,
            phase,
            events,
            node_locks: RefCell::default(),
            prepared: OnceCell::new(),
            teardown: RwLock::default(),
            adding: Mutex::default(),
            ending: watch::Sender::new(false),
            folder,
        }
    }

    /// The plan as it is now.
    pub(super) fn plan(&self) -> Arc<Plan> {
        self.plan.borrow().clone()
    }

    pub(super) fn set_plan(&self, plan: Plan) {
        self.plan.send_replace(Arc::new(plan));
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    /// Publishes the end, of a cluster whose start did not fail before.
    pub(super) fn set_stopped(&self, leftovers: Vec<String>) {
        if matches!(*self.phase.borrow(), Phase::Starting | Phase::Ready) {
            self.set_phase(Phase::Stopped(leftovers));
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress::new(self.plan().name.clone(), self.phase.subscribe())
    }

    /// The plan as it is now, and each one that follows, until the cluster has ended.
    pub(crate) fn plans(&self) -> watch::Receiver<Arc<Plan>> {
        self.plan.subscribe()
    }

    /// The events from the beginning.
    pub(crate) fn events(&self) -> Events {
        self.events.listen()
    }

    /// The parts that all nodes share, once the cluster is open.
    pub(super) fn prepared(&self) -> Option<&Prepared> {
        self.prepared.get()
    }

    pub(super) fn set_prepared(&self, prepared: Prepared) {
        self.prepared.set(prepared).expect("a cluster is opened once");
    }

    /// A node of the cluster.
    pub(super) fn node(&self, id: NodeId) -> Result<Rc<NodeRecord>, Error> {
        let there = || self.plan().node_numbers();
        self.find_node(id).ok_or_else(|| Error::NoSuchNode { asked: id.number().to_string(), there: there() })
    }

    /// The same, if it is one.
    pub(super) fn find_node(&self, id: NodeId) -> Option<Rc<NodeRecord>> {
        self.nodes.borrow().get(&id).cloned()
    }

    /// Every node, by number.
    pub(super) fn all_nodes(&self) -> Vec<Rc<NodeRecord>> {
        self.nodes.borrow().values().cloned().collect()
    }

    /// Replaces a node's record by a new one, as the node is planned now.
    pub(super) fn renew_node(&self, planned: PlannedNode) -> Rc<NodeRecord> {
        let node = Rc::new(NodeRecord::new(planned));
        self.nodes.borrow_mut().insert(node.id(), node.clone());
        node
    }

    /// Waits until no other request boots or stops this node, and keeps others from doing so.
    pub(super) async fn lock_node(&self, id: NodeId) -> NodeLock<'_> {
        let teardown = self.lock_start().await;
        let lock = self.node_locks.borrow_mut().entry(id).or_default().clone();
        NodeLock { _teardown: teardown, _node: lock.lock_owned().await }
    }

    /// Keeps a teardown of the cluster from beginning.
    pub(super) async fn lock_start(&self) -> RwLockReadGuard<'_, ()> {
        self.teardown.read().await
    }

    /// Cancels what is being started, and waits until it is over.
    pub(super) async fn lock_teardown(&self) -> RwLockWriteGuard<'_, ()> {
        self.ending.send_replace(true);
        self.teardown.write().await
    }

    /// Keeps others from adding to the plan.
    pub(super) async fn lock_plan(&self) -> MutexGuard<'_, ()> {
        self.adding.lock().await
    }

    /// Whether the cluster is being taken down.
    pub(super) fn is_ending(&self) -> bool {
        *self.ending.borrow()
    }

    /// Returns when the cluster is being taken down.
    pub(super) async fn ending(&self) {
        // This value has the sender, so that it does not end before.
        let _ = self.ending.subscribe().wait_for(|ending| *ending).await;
    }

    pub(super) fn status(&self) -> ClusterStatus {
        let state = match &*self.phase.borrow() {
            Phase::Starting => ClusterState::Starting,
            Phase::Ready | Phase::Stopped(_) => ClusterState::Ready,
            Phase::Failed(_) | Phase::Lost => ClusterState::Failed,
        };
        let plan = self.plan();
        let nets = plan.nets.iter().map(|planned| NetStatus {
            id: planned.net.id,
            kind: planned.net.kind,
            mtu: planned.net.mtu,
            backend: planned.backend.clone(),
            host: planned.host,
        });
        ClusterStatus {
            name: plan.name.clone(),
            owner: std::process::id(),
            folder: self.folder.path().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state,
            accel: self.prepared.get().map(|prepared| prepared.verdict.clone()),
            login: plan.options.login,
            netns: plan.netns.clone(),
            nets: nets.collect(),
            nodes: self.all_nodes().iter().map(|node| node.status()).collect(),
        }
    }
}
