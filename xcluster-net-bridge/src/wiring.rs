//! What is remembered of a cluster from one call to the next: its way to the kernel, its bridges, and the descriptors that
//! its taps live by. Makes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{Port, Site, Wired};

use crate::backend::BridgeBackend;
use crate::bridge::Bridge;
use crate::netlink::Netlink;

/// A cluster's bridges and taps.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) netlink: Netlink,
    bridges: Mutex<Bridges>,
    /// The words of a port own the descriptors of its tap.
    wired: Mutex<BTreeMap<(NetId, NodeId), Wired>>,
}

#[derive(Debug, Default)]
struct Bridges {
    begun: BTreeMap<NetId, Bridge>,
    finished: BTreeSet<NetId>,
}

impl Wiring {
    /// Of this cluster, if there was a preflight.
    pub(crate) fn of(site: &Site<'_>) -> Option<Arc<Self>> {
        site.store.find::<Arc<Self>>(BridgeBackend::NAME).map(|wiring| Arc::clone(&*wiring))
    }

    /// Of a cluster that has none.
    pub(crate) fn begin(site: &Site<'_>, netlink: Netlink) -> Arc<Self> {
        let wiring = Arc::new(Self { netlink, bridges: Mutex::default(), wired: Mutex::default() });
        site.store.put(BridgeBackend::NAME, Arc::clone(&wiring));
        wiring
    }

    /// The bridge of a net, once it is ready.
    pub(crate) fn bridge(&self, net: NetId) -> Option<Bridge> {
        let bridges = lock(&self.bridges);
        bridges.finished.contains(&net).then(|| bridges.begun.get(&net).cloned()).flatten()
    }

    pub(crate) fn begin_bridge(&self, net: NetId, bridge: Bridge) {
        lock(&self.bridges).begun.insert(net, bridge);
    }

    pub(crate) fn finish_bridge(&self, net: NetId) {
        lock(&self.bridges).finished.insert(net);
    }

    /// Forgets the bridge of a net, ready or not.
    pub(crate) fn forget_bridge(&self, net: NetId) -> Option<Bridge> {
        let mut bridges = lock(&self.bridges);
        bridges.finished.remove(&net);
        bridges.begun.remove(&net)
    }

    /// What a port was answered.
    pub(crate) fn wired(&self, port: &Port) -> Option<Wired> {
        lock(&self.wired).get(&key(port)).cloned()
    }

    pub(crate) fn keep(&self, port: &Port, wired: Wired) {
        lock(&self.wired).insert(key(port), wired);
    }

    /// Forgets what a port was answered, and with it the descriptors.
    pub(crate) fn forget(&self, port: &Port) -> Option<Wired> {
        lock(&self.wired).remove(&key(port))
    }
}

fn key(port: &Port) -> (NetId, NodeId) {
    (port.net.id, port.node)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
