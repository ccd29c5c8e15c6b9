//! The backend state of a cluster: its switch, its nets and its ports. Pure bookkeeping.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xcluster_core::host::Namespace;
use xcluster_core::name::NetId;
use xcluster_core::net::BackendContext;
use xcluster_core::netlink::{Netlink, PortStates};

use crate::config::NAME;
use crate::names::Names;
use crate::programs::Programs;
use crate::switch::Switch;

/// A cluster's nets on an Open vSwitch.
#[derive(Debug)]
pub(crate) struct OvsState {
    pub(crate) names: Names,
    pub(crate) netlink: Netlink,
    pub(crate) programs: Programs,
    /// The owner's own namespace. Each cluster has a value, since it keeps descriptors that were opened there.
    pub(crate) here: Namespace,
    /// Locked while the switch is started or ended.
    pub(crate) switch: tokio::sync::Mutex<Option<Arc<Switch>>>,
    pub(crate) ports: PortStates,
    /// Each net that was begun, and whether it is ready.
    nets: Mutex<BTreeMap<NetId, bool>>,
}

impl OvsState {
    /// The state of this cluster, if it has one.
    pub(crate) fn of(context: &BackendContext<'_>) -> Option<Arc<Self>> {
        context.store.find::<Arc<Self>>(NAME).map(|state| Arc::clone(&*state))
    }

    /// Puts an empty state into the cluster's store.
    pub(crate) fn begin(context: &BackendContext<'_>, names: Names, netlink: Netlink, programs: Programs) -> Arc<Self> {
        let state = Arc::new(Self {
            names,
            netlink,
            programs,
            here: Namespace::here(),
            switch: tokio::sync::Mutex::default(),
            ports: PortStates::default(),
            nets: Mutex::default(),
        });
        context.store.put(NAME, Arc::clone(&state));
        state
    }

    /// The switch, if it has been started or found.
    pub(crate) async fn running(&self) -> Option<Arc<Switch>> {
        self.switch.lock().await.clone()
    }

    /// Whether a net is ready; `None` if it was not begun.
    pub(crate) fn net(&self, net: NetId) -> Option<bool> {
        self.nets().get(&net).copied()
    }

    /// Notes that a net was begun, or is ready.
    pub(crate) fn keep_net(&self, net: NetId, ready: bool) {
        self.nets().insert(net, ready);
    }

    /// Forgets a net. Returns whether it was the last one.
    pub(crate) fn forget_net(&self, net: NetId) -> bool {
        let mut nets = self.nets();
        nets.remove(&net);
        nets.is_empty()
    }

    /// Whether no net was begun.
    pub(crate) fn has_no_net(&self) -> bool {
        self.nets().is_empty()
    }

    fn nets(&self) -> MutexGuard<'_, BTreeMap<NetId, bool>> {
        self.nets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
