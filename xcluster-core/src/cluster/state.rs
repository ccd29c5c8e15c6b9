//! What a cluster's thread knows. Only that thread sees it, so there is nothing to lock.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Mutex, RwLock, oneshot, watch};
use tokio::task::JoinHandle;

use super::boot::Turns;

use super::error::{Error, StartFailure};
use super::event::EventLog;
use super::node_cell::NodeCell;
use super::prepare::Prepared;
use super::status::{ClusterState, ClusterStatus, NetStatus};
use super::undo::Undo;
use super::wire::WiredByName;
use crate::host::{Folder, HostLocks, Namespace, Store};
use crate::name::{ClusterName, NetId, NodeId};
use crate::net::{BackendContext, Registry};
use crate::plan::{Plan, PlannedNode};

/// How far a cluster has come.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// It is being opened, or its nodes are being started.
    Starting,
    /// It is open, and all nodes that were to be started with it were ready.
    Ready,
    /// The start failed and was undone.
    Failed(Arc<StartFailure>),
    /// Its folder was removed, so that nobody could find it any more; it was taken down.
    Lost,
}

/// What a cluster's thread knows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) name: ClusterName,
    /// As it is now: nodes may come to it.
    pub(super) plan: watch::Sender<Arc<Plan>>,
    pub(super) backends: Registry,
    pub(super) nodes: RefCell<BTreeMap<NodeId, Rc<NodeCell>>>,
    pub(super) events: Arc<EventLog>,
    pub(super) phase: watch::Sender<Phase>,
    /// How processors are virtualised, for people.
    pub(super) accel: RefCell<Option<crate::qemu::accel::AccelChoice>>,
    /// What was done and must be undone.
    pub(super) undo: RefCell<Undo>,
    /// What all nodes share, once the cluster is open.
    pub(super) prepared: OnceCell<(Prepared, Turns)>,
    /// Shared by whoever starts something, and held alone by who takes the cluster down: else he would undo half of it.
    pub(super) turn: RwLock<()>,
    /// Held by who adds to the plan.
    pub(super) adding: Mutex<()>,
    /// Held by who boots or stops a node, by its number.
    pub(super) node_turns: RefCell<BTreeMap<NodeId, Rc<Mutex<()>>>>,
    /// The cluster is being taken down: what is being started is called off, and a node that ends now is no news.
    pub(super) ending: watch::Sender<bool>,
    /// What was wired for QEMUs of other processes.
    pub(super) by_name: RefCell<BTreeMap<(NodeId, NetId), WiredByName>>,
    pub(super) host_locks: HostLocks,
    pub(super) store: Store,
    /// Where the networks are, once it is there, if a backend needs one. After what backends remember, which may hold
    /// things in it.
    pub(super) namespace: OnceCell<Namespace>,
    /// What carries the namespace's packets to the world: how to close it, and the task that then ends.
    pub(super) uplink: RefCell<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
    /// Last, so that the name is free only when everything else is gone.
    pub(super) folder: Folder,
}

impl State {
    pub(super) fn new(
        plan: watch::Sender<Arc<Plan>>,
        backends: Registry,
        folder: Folder,
        events: Arc<EventLog>,
        phase: watch::Sender<Phase>,
    ) -> Self {
        let now = plan.borrow().clone();
        let nodes = now.nodes.iter().map(|planned| (planned.node.id, Rc::new(NodeCell::new(planned.clone()))));
        Self {
            name: now.name.clone(),
            nodes: RefCell::new(nodes.collect()),
            plan,
            backends,
            events,
            phase,
            accel: RefCell::default(),
            undo: RefCell::default(),
            prepared: OnceCell::new(),
            turn: RwLock::default(),
            adding: Mutex::default(),
            node_turns: RefCell::default(),
            ending: watch::Sender::new(false),
            by_name: RefCell::default(),
            host_locks: HostLocks::new(),
            store: Store::new(),
            namespace: OnceCell::new(),
            uplink: RefCell::default(),
            folder,
        }
    }

    /// The plan as it is now.
    pub(super) fn plan(&self) -> Arc<Plan> {
        self.plan.borrow().clone()
    }

    /// What backends may use.
    pub(super) fn context(&self) -> BackendContext<'_> {
        let context = BackendContext::new(&self.name, self.folder.path(), &self.host_locks, &self.store);
        match self.namespace.get() {
            Some(namespace) => context.in_namespace(namespace),
            None => context,
        }
    }

    /// A node of the cluster.
    pub(super) fn node(&self, id: NodeId) -> Result<Rc<NodeCell>, Error> {
        let there = || self.plan().node_numbers();
        self.find_node(id).ok_or_else(|| Error::NoSuchNode { asked: id.number().to_string(), there: there() })
    }

    /// The same, if it is one.
    pub(super) fn find_node(&self, id: NodeId) -> Option<Rc<NodeCell>> {
        self.nodes.borrow().get(&id).cloned()
    }

    /// Every node, by number.
    pub(super) fn all_nodes(&self) -> Vec<Rc<NodeCell>> {
        self.nodes.borrow().values().cloned().collect()
    }

    /// Has a node begin anew, as it is planned now.
    pub(super) fn renew_node(&self, planned: PlannedNode) -> Rc<NodeCell> {
        let node = Rc::new(NodeCell::new(planned));
        self.nodes.borrow_mut().insert(node.id(), node.clone());
        node
    }

    /// What is held by who boots or stops this node.
    pub(super) fn turn_of(&self, id: NodeId) -> Rc<Mutex<()>> {
        self.node_turns.borrow_mut().entry(id).or_default().clone()
    }

    /// Returns when the cluster is being taken down.
    pub(super) async fn ends(&self) {
        // This value has the sender, so that it does not end before.
        let _ = self.ending.subscribe().wait_for(|ending| *ending).await;
    }

    pub(super) fn status(&self) -> ClusterStatus {
        let state = match &*self.phase.borrow() {
            Phase::Starting => ClusterState::Starting,
            Phase::Ready => ClusterState::Ready,
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
            name: self.name.clone(),
            owner: std::process::id(),
            folder: self.folder.path().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state,
            accel: self.accel.borrow().clone(),
            login: plan.options.login,
            netns: plan.netns.clone(),
            nets: nets.collect(),
            nodes: self.all_nodes().iter().map(|node| node.status()).collect(),
        }
    }
}
