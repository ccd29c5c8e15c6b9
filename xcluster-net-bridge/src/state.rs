//! The backend state of a cluster: its netlink connection, its bridges and its ports. Pure bookkeeping.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xcluster_core::name::NetId;
use xcluster_core::net::BackendContext;
use xcluster_core::netlink::{Netlink, PortStates};

use crate::bridge::Bridge;
use crate::config::NAME;

/// A cluster's bridges and taps.
#[derive(Debug)]
pub(crate) struct BridgeState {
    pub(crate) netlink: Netlink,
    pub(crate) ports: PortStates,
    bridges: Mutex<Bridges>,
}

#[derive(Debug, Default)]
struct Bridges {
    begun: BTreeMap<NetId, Bridge>,
    finished: BTreeSet<NetId>,
}

impl BridgeState {
    /// The state of this cluster; none before its preflight.
    pub(crate) fn of(context: &BackendContext<'_>) -> Option<Arc<Self>> {
        context.store.find::<Arc<Self>>(NAME).map(|state| Arc::clone(&*state))
    }

    /// Puts an empty state into the cluster's store.
    pub(crate) fn begin(context: &BackendContext<'_>, netlink: Netlink) -> Arc<Self> {
        let state = Arc::new(Self { netlink, ports: PortStates::default(), bridges: Mutex::default() });
        context.store.put(NAME, Arc::clone(&state));
        state
    }

    /// The bridge of a net, once it is ready.
    pub(crate) fn bridge(&self, net: NetId) -> Option<Bridge> {
        let bridges = self.bridges();
        bridges.finished.contains(&net).then(|| bridges.begun.get(&net).cloned()).flatten()
    }

    pub(crate) fn begin_bridge(&self, net: NetId, bridge: Bridge) {
        self.bridges().begun.insert(net, bridge);
    }

    pub(crate) fn finish_bridge(&self, net: NetId) {
        self.bridges().finished.insert(net);
    }

    /// Forgets the bridge of a net, ready or not.
    pub(crate) fn forget_bridge(&self, net: NetId) -> Option<Bridge> {
        let mut bridges = self.bridges();
        bridges.finished.remove(&net);
        bridges.begun.remove(&net)
    }

    fn bridges(&self) -> MutexGuard<'_, Bridges> {
        self.bridges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
