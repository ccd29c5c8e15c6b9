//! What is remembered of a cluster from one call to the next: its way to the kernel, its bridges, and the descriptors that
//! its taps live by. Makes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use tokio::task::JoinHandle;
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{BackendContext, NetError, Port, PortConfig};

use crate::backend::BridgeBackend;
use crate::bridge::Bridge;
use xcluster_core::host::netlink::Netlink;

/// A cluster's bridges and taps.
#[derive(Debug)]
pub(crate) struct BridgeState {
    pub(crate) netlink: Netlink,
    bridges: Mutex<Bridges>,
    /// The args of a port own the descriptors of its tap.
    port_config: Mutex<BTreeMap<(NetId, NodeId), PortConfig>>,
    /// Taps that are on their way out.
    pending_removals: Mutex<BTreeMap<(NetId, NodeId), PendingRemoval>>,
}

/// The end of a tap, which is waited for where it matters.
pub(crate) type PendingRemoval = JoinHandle<Result<(), NetError>>;

#[derive(Debug, Default)]
struct Bridges {
    begun: BTreeMap<NetId, Bridge>,
    finished: BTreeSet<NetId>,
}

impl BridgeState {
    /// Of this cluster, if there was a preflight.
    pub(crate) fn of(context: &BackendContext<'_>) -> Option<Arc<Self>> {
        context.store.find::<Arc<Self>>(BridgeBackend::NAME).map(|state| Arc::clone(&*state))
    }

    /// Of a cluster that has none.
    pub(crate) fn begin(context: &BackendContext<'_>, netlink: Netlink) -> Arc<Self> {
        let state = Arc::new(Self {
            netlink,
            bridges: Mutex::default(),
            port_config: Mutex::default(),
            pending_removals: Mutex::default(),
        });
        context.store.put(BridgeBackend::NAME, Arc::clone(&state));
        state
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
    pub(crate) fn port_config(&self, port: &Port) -> Option<PortConfig> {
        lock(&self.port_config).get(&key(port)).cloned()
    }

    pub(crate) fn keep(&self, port: &Port, port_config: PortConfig) {
        lock(&self.port_config).insert(key(port), port_config);
    }

    /// Forgets what a port was answered, and with it the descriptors.
    pub(crate) fn forget(&self, port: &Port) -> Option<PortConfig> {
        lock(&self.port_config).remove(&key(port))
    }

    /// Remembers that the tap of a port is on its way out.
    pub(crate) fn add_pending_removal(&self, port: &Port, removal: PendingRemoval) {
        lock(&self.pending_removals).insert(key(port), removal);
    }

    /// Waits until the tap of a port is gone, if it is on its way out.
    pub(crate) async fn wait_removed(&self, port: &Port) -> Result<(), NetError> {
        let removal = lock(&self.pending_removals).remove(&key(port));
        wait_all(removal).await
    }

    /// The same for all taps of a net.
    pub(crate) async fn wait_net_removed(&self, net: NetId) -> Result<(), NetError> {
        let removals: Vec<PendingRemoval> = {
            let mut all = lock(&self.pending_removals);
            let of_net: Vec<_> = all.keys().filter(|(of, _)| *of == net).copied().collect();
            of_net.iter().filter_map(|key| all.remove(key)).collect()
        };
        wait_all(removals).await
    }
}

/// Waits for all of them, also when something went wrong with one.
async fn wait_all(removals: impl IntoIterator<Item = PendingRemoval>) -> Result<(), NetError> {
    let ended = join_all(removals).await;
    ended.into_iter().flatten().collect()
}

fn key(port: &Port) -> (NetId, NodeId) {
    (port.net.id, port.node)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
