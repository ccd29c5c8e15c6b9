//! What a cluster's thread knows of one node.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::watch;

use super::error::Error;
use super::machine::RunningMachine;
use super::status::{NicStatus, NodeState, NodeStatus};
use crate::guest::AnyAgent;
use crate::name::NodeId;
use crate::net::{Forward, HostAccess, PortConfig, QemuNetns};
use crate::plan::PlannedNode;

/// A node as the thread knows it, from one boot to the next.
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
    /// It is being stopped: its boot is called off, and its end is no news.
    stopping: watch::Sender<bool>,
}

impl NodeCell {
    pub(super) fn new(planned: PlannedNode) -> Self {
        Self {
            planned,
            state: Cell::new(NodeState::Waiting),
            reason: RefCell::default(),
            boot_millis: Cell::default(),
            machine: RefCell::default(),
            access: RefCell::default(),
            forwarders: RefCell::default(),
            stopping: watch::Sender::new(false),
        }
    }

    /// Somebody stops it.
    pub(super) fn call_off(&self) {
        self.stopping.send_replace(true);
    }

    /// Whether somebody stops it.
    pub(super) fn is_called_off(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Returns when somebody stops it.
    pub(super) async fn called_off(&self) {
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Whether its QEMU runs.
    pub(super) fn runs(&self) -> bool {
        self.machine.borrow().as_ref().is_some_and(|machine| machine.runs())
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
    pub(super) fn port_config(&self, port_config: &PortConfig) {
        self.access.borrow_mut().push(port_config.access.clone());
        // Elsewhere a forward that is added would be where this host is not.
        if *port_config.kvm.qemu_netns() == QemuNetns::Here {
            self.forwarders.borrow_mut().extend(port_config.kvm.user_netdevs().map(str::to_owned));
        }
    }

    /// Nothing is wired any more.
    pub(super) fn unwired(&self) {
        self.access.take();
        self.forwarders.take();
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
            ipv4: nic.ipv4,
            ipv6: nic.ipv6,
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
