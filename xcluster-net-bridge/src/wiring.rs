//! What is remembered of a cluster from one call to the next: its way to the kernel, its bridges, and the descriptors that
//! its taps live by. Makes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use tokio::task::JoinHandle;
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{NetError, Port, Site, Wired};

use crate::backend::BridgeBackend;
use crate::bridge::Bridge;
use xcluster_core::host::netlink::Netlink;

/// A cluster's bridges and taps.
#[derive(Debug)]
pub(crate) struct Wiring {
    pub(crate) netlink: Netlink,
    bridges: Mutex<Bridges>,
    /// The words of a port own the descriptors of its tap.
    wired: Mutex<BTreeMap<(NetId, NodeId), Wired>>,
    /// Taps that are on their way out.
    leaving: Mutex<BTreeMap<(NetId, NodeId), Leaving>>,
}

/// The end of a tap, which is waited for where it matters.
pub(crate) type Leaving = JoinHandle<Result<(), NetError>>;

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
        let wiring =
            Arc::new(Self { netlink, bridges: Mutex::default(), wired: Mutex::default(), leaving: Mutex::default() });
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

    /// Remembers that the tap of a port is on its way out.
    pub(crate) fn let_go(&self, port: &Port, leaving: Leaving) {
        lock(&self.leaving).insert(key(port), leaving);
    }

    /// Waits until the tap of a port is gone, if it is on its way out.
    pub(crate) async fn gone(&self, port: &Port) -> Result<(), NetError> {
        let leaving = lock(&self.leaving).remove(&key(port));
        all_gone(leaving).await
    }

    /// The same for all taps of a net.
    pub(crate) async fn net_gone(&self, net: NetId) -> Result<(), NetError> {
        let leaving: Vec<Leaving> = {
            let mut all = lock(&self.leaving);
            let of_net: Vec<_> = all.keys().filter(|(of, _)| *of == net).copied().collect();
            of_net.iter().filter_map(|key| all.remove(key)).collect()
        };
        all_gone(leaving).await
    }
}

/// Waits for all of them, also when something went wrong with one.
async fn all_gone(leaving: impl IntoIterator<Item = Leaving>) -> Result<(), NetError> {
    let ended = join_all(leaving).await;
    ended.into_iter().flatten().collect()
}

fn key(port: &Port) -> (NetId, NodeId) {
    (port.net.id, port.node)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
