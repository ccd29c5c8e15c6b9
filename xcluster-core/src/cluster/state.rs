//! What a cluster's thread knows. Only that thread sees it, so there is nothing to lock.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Mutex, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};

use super::error::{Error, StartFailure};
use super::event::EventLog;
use super::machine::RunningMachine;
use super::status::{ClusterState, ClusterStatus, NetStatus, NicStatus, NodeState, NodeStatus};
use super::undo::Undo;
use crate::guest::AnyAgent;
use crate::host::{Claims, Folder, Namespace, Store};
use crate::name::NodeId;
use crate::net::{Forward, HostAccess, Place, Registry, Site, Wired};
use crate::plan::{Plan, PlannedNode};

/// How far a cluster has come.
#[derive(Debug, Clone)]
pub(super) enum Phase {
    /// Nodes are being started.
    Starting,
    /// All were ready.
    Ready,
    /// The start failed and was undone.
    Failed(Arc<StartFailure>),
}

/// What a cluster's thread knows.
#[derive(Debug)]
pub(super) struct State {
    pub(super) plan: Arc<Plan>,
    pub(super) backends: Registry,
    pub(super) nodes: BTreeMap<NodeId, Rc<NodeCell>>,
    pub(super) events: Arc<EventLog>,
    pub(super) phase: watch::Sender<Phase>,
    /// How processors are virtualised, for people.
    pub(super) accel: RefCell<Option<String>>,
    /// What was done and must be undone.
    pub(super) undo: RefCell<Undo>,
    /// The task that starts the nodes, to be called off.
    pub(super) starting: RefCell<Option<AbortHandle>>,
    /// Held by whoever starts the cluster or takes it down: two at once would undo half of it each.
    pub(super) turn: Mutex<()>,
    /// The cluster is being taken down: a node that ends now is no news.
    pub(super) ending: Cell<bool>,
    pub(super) claims: Claims,
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
        plan: Arc<Plan>,
        backends: Registry,
        folder: Folder,
        events: Arc<EventLog>,
        phase: watch::Sender<Phase>,
    ) -> Self {
        let nodes = plan.nodes.iter().map(|planned| (planned.node.id, Rc::new(NodeCell::new(planned.clone()))));
        Self {
            nodes: nodes.collect(),
            plan,
            backends,
            events,
            phase,
            accel: RefCell::default(),
            undo: RefCell::default(),
            starting: RefCell::default(),
            turn: Mutex::default(),
            ending: Cell::new(false),
            claims: Claims::new(),
            store: Store::new(),
            namespace: OnceCell::new(),
            uplink: RefCell::default(),
            folder,
        }
    }

    /// What backends may use.
    pub(super) fn site(&self) -> Site<'_> {
        let site = Site::new(&self.plan.name, self.folder.path(), &self.claims, &self.store);
        match self.namespace.get() {
            Some(namespace) => site.in_namespace(namespace),
            None => site,
        }
    }

    /// A node of the cluster.
    pub(super) fn node(&self, id: NodeId) -> Result<&Rc<NodeCell>, Error> {
        self.nodes
            .get(&id)
            .ok_or_else(|| Error::NoSuchNode { asked: id.number().to_string(), there: self.plan.node_numbers() })
    }

    pub(super) fn status(&self) -> ClusterStatus {
        let state = match &*self.phase.borrow() {
            Phase::Starting => ClusterState::Starting,
            Phase::Ready => ClusterState::Ready,
            Phase::Failed(_) => ClusterState::Failed,
        };
        let nets = self.plan.nets.iter().map(|planned| NetStatus {
            id: planned.net.id,
            kind: planned.net.kind,
            mtu: planned.net.mtu,
            backend: planned.backend.clone(),
        });
        ClusterStatus {
            name: self.plan.name.clone(),
            owner: std::process::id(),
            folder: self.folder.path().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state,
            accel: self.accel.borrow().clone(),
            login: self.plan.options.login,
            netns: self.plan.netns.clone(),
            nets: nets.collect(),
            nodes: self.nodes.values().map(|node| node.status()).collect(),
        }
    }
}

/// A node as the thread knows it.
#[derive(Debug)]
pub(super) struct NodeCell {
    pub(super) planned: PlannedNode,
    pub(super) state: Cell<NodeState>,
    pub(super) reason: RefCell<Option<String>>,
    pub(super) boot_millis: Cell<Option<u64>>,
    pub(super) machine: RefCell<Option<Rc<RunningMachine>>>,
    /// How the host reaches it, NIC by NIC.
    pub(super) access: RefCell<Vec<HostAccess>>,
    /// The netdevs that QEMU can add forwards to, by name.
    pub(super) forwarders: RefCell<Vec<String>>,
}

impl NodeCell {
    fn new(planned: PlannedNode) -> Self {
        Self {
            planned,
            state: Cell::new(NodeState::Waiting),
            reason: RefCell::default(),
            boot_millis: Cell::default(),
            machine: RefCell::default(),
            access: RefCell::default(),
            forwarders: RefCell::default(),
        }
    }

    pub(super) fn id(&self) -> NodeId {
        self.planned.node.id
    }

    /// The node's QEMU, if it runs.
    pub(super) fn running(&self) -> Result<Rc<RunningMachine>, Error> {
        let machine = self.machine.borrow().clone().filter(|machine| machine.runs());
        machine.ok_or_else(|| self.not_ready())
    }

    /// The agent of a node that can be used.
    pub(super) fn agent(&self) -> Result<AnyAgent, Error> {
        let machine = self.running()?;
        if self.state.get() != NodeState::Ready {
            return Err(self.not_ready());
        }
        machine.agent().cloned().ok_or(Error::NoAgent(self.id()))
    }

    pub(super) fn not_ready(&self) -> Error {
        Error::NotReady { node: self.id(), state: self.state.get(), why: self.reason.borrow().clone() }
    }

    /// A NIC is wired.
    pub(super) fn wired(&self, wired: &Wired) {
        self.access.borrow_mut().push(wired.access.clone());
        // Elsewhere a forward that is added would be where this host is not.
        if *wired.kvm.place() == Place::Here {
            self.forwarders.borrow_mut().extend(wired.kvm.user_netdevs().map(str::to_owned));
        }
    }

    /// Where this host finds a TCP port of the node.
    pub(super) fn address(&self, port: u16) -> Option<std::net::SocketAddr> {
        self.access.borrow().iter().find_map(|access| access.tcp(port))
    }

    pub(super) fn status(&self) -> NodeStatus {
        let forwards = |access: &HostAccess| match access {
            HostAccess::Forwarded(forwards) => forwards.clone(),
            _ => Vec::new(),
        };
        let nics = self.planned.nics.iter().map(|nic| NicStatus {
            name: nic.name.clone(),
            net: nic.port.net.id,
            mac: nic.mac,
            ipv4: nic.ipv4.clone(),
            ipv6: nic.ipv6.clone(),
        });
        let forwards: Vec<Forward> = self.access.borrow().iter().flat_map(forwards).collect();
        NodeStatus {
            id: self.id(),
            name: self.planned.name.clone(),
            role: self.planned.role,
            state: self.state.get(),
            reason: self.reason.borrow().clone(),
            pid: self.machine.borrow().as_ref().filter(|machine| machine.runs()).map(|machine| machine.pid()),
            boot_millis: self.boot_millis.get(),
            nics: nics.collect(),
            forwards,
        }
    }
}
