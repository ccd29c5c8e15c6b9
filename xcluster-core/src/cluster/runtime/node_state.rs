//! The state of one node, on the cluster's thread.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;

use super::qemu_instance::QemuInstance;
use crate::cluster::error::Error;
use crate::cluster::status::{NicStatus, NodeState, NodeStatus};
use crate::guest::AnyAgent;
use crate::name::NodeId;
use crate::net::{Forward, HostAccess, PortConfig, QemuNetns};
use crate::plan::PlannedNode;

/// A node as the thread knows it, from one boot to the next.
#[derive(Debug)]
pub(super) struct NodeRecord {
    planned: PlannedNode,
    state: Cell<NodeState>,
    reason: RefCell<Option<String>>,
    boot_time: Cell<Option<Duration>>,
    qemu: RefCell<Option<Rc<QemuInstance>>>,
    /// How the host reaches it, NIC by NIC.
    access: RefCell<Vec<HostAccess>>,
    /// The netdevs that QEMU can add forwards to, by name.
    forwarders: RefCell<Vec<String>>,
    /// It is being stopped: its boot is cancelled, and its end is not reported.
    cancelled: watch::Sender<bool>,
}

impl NodeRecord {
    pub(super) fn new(planned: PlannedNode) -> Self {
        Self {
            planned,
            state: Cell::new(NodeState::Waiting),
            reason: RefCell::default(),
            boot_time: Cell::default(),
            qemu: RefCell::default(),
            access: RefCell::default(),
            forwarders: RefCell::default(),
            cancelled: watch::Sender::new(false),
        }
    }

    pub(super) fn id(&self) -> NodeId {
        self.planned.node.id
    }

    pub(super) fn planned(&self) -> &PlannedNode {
        &self.planned
    }

    pub(super) fn state(&self) -> NodeState {
        self.state.get()
    }

    /// Its QEMU, running or ended, if one was started.
    pub(super) fn qemu(&self) -> Option<Rc<QemuInstance>> {
        self.qemu.borrow().clone()
    }

    pub(super) fn set_booting(&self, qemu: Rc<QemuInstance>) {
        *self.qemu.borrow_mut() = Some(qemu);
        self.state.set(NodeState::Booting);
    }

    pub(super) fn set_ready(&self, took: Duration) {
        self.boot_time.set(Some(took));
        self.state.set(NodeState::Ready);
    }

    pub(super) fn set_failed(&self, reason: String) {
        self.state.set(NodeState::Failed);
        *self.reason.borrow_mut() = Some(reason);
    }

    /// It was stopped on request, also if it had failed before.
    pub(super) fn set_stopped(&self) {
        self.state.set(NodeState::Stopped);
        self.reason.take();
    }

    /// Its QEMU is gone. A node that has failed stays so.
    pub(super) fn set_killed(&self) {
        if self.state.get() != NodeState::Failed {
            self.state.set(NodeState::Stopped);
        }
    }

    /// Cancels its boot.
    pub(super) fn cancel(&self) {
        self.cancelled.send_replace(true);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow()
    }

    /// Returns when its boot is cancelled.
    pub(super) async fn cancelled(&self) {
        let _ = self.cancelled.subscribe().wait_for(|cancelled| *cancelled).await;
    }

    /// Whether its QEMU runs.
    pub(super) fn runs(&self) -> bool {
        self.qemu.borrow().as_ref().is_some_and(|qemu| qemu.runs())
    }

    /// The node's QEMU, if it runs.
    pub(super) fn running(&self) -> Result<Rc<QemuInstance>, Error> {
        self.qemu().filter(|qemu| qemu.runs()).ok_or_else(|| self.not_ready())
    }

    /// The agent of a node that can be used.
    pub(super) fn agent(&self) -> Result<AnyAgent, Error> {
        let qemu = self.running()?;
        if self.state.get() != NodeState::Ready {
            return Err(self.not_ready());
        }
        qemu.agent().cloned().ok_or(Error::NoAgent(self.id()))
    }

    pub(super) fn not_ready(&self) -> Error {
        Error::NotReady { node: self.id(), state: self.state.get(), why: self.reason.borrow().clone() }
    }

    /// A port of it is set up.
    pub(super) fn add_port(&self, config: &PortConfig) {
        self.access.borrow_mut().push(config.access.clone());
        // A QEMU in another namespace would listen there, where this host cannot connect.
        if *config.kvm.qemu_netns() == QemuNetns::Here {
            self.forwarders.borrow_mut().extend(config.kvm.user_netdevs().map(str::to_owned));
        }
    }

    /// Its ports are torn down.
    pub(super) fn clear_ports(&self) {
        self.access.take();
        self.forwarders.take();
    }

    /// Where this host finds a TCP port of the node.
    pub(super) fn address(&self, port: u16) -> Option<SocketAddr> {
        self.access.borrow().iter().find_map(|access| access.tcp(port))
    }

    /// Where a TCP port of the node is found within the cluster's network namespace.
    pub(super) fn address_inside(&self, port: u16) -> Option<SocketAddr> {
        self.access.borrow().iter().find_map(|access| access.tcp_inside(port))
    }

    /// A netdev that QEMU can add forwards to.
    pub(super) fn forwarder(&self) -> Option<String> {
        self.forwarders.borrow().first().cloned()
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
            pid: self.qemu().filter(|qemu| qemu.runs()).map(|qemu| qemu.pid()),
            boot_time: self.boot_time.get(),
            nics: nics.collect(),
            forwards,
        }
    }
}
