//! What is remembered of a cluster from one call to the next: its switch, its nets, and the descriptors that its taps live by.
//! Makes nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use tokio::task::JoinHandle;
use xcluster_core::host::Namespace;
use xcluster_core::host::netlink::Netlink;
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{BackendContext, NetError, Port, PortConfig};

use crate::backend::OvsBackend;
use crate::names::Names;
use crate::programs::Programs;
use crate::switch::Switch;

/// A cluster's nets on an Open vSwitch.
#[derive(Debug)]
pub(crate) struct OvsState {
    pub(crate) names: Names,
    pub(crate) netlink: Netlink,
    pub(crate) programs: Programs,
    /// The namespace that we are in. A value of the cluster's: it keeps descriptors that were opened in there.
    pub(crate) here: Namespace,
    /// Taken by whoever starts or ends it.
    pub(crate) switch: tokio::sync::Mutex<Option<Arc<Switch>>>,
    /// Those that were begun, and whether they are ready.
    nets: Mutex<BTreeMap<NetId, bool>>,
    /// The args of a port own the descriptor of its tap.
    port_config: Mutex<BTreeMap<(NetId, NodeId), PortConfig>>,
    /// Ports that are on their way out.
    pending_removals: Mutex<BTreeMap<(NetId, NodeId), PendingRemoval>>,
}

/// The end of a port, which is waited for where it matters.
pub(crate) type PendingRemoval = JoinHandle<Result<(), NetError>>;

impl OvsState {
    /// Of this cluster, if anything is remembered.
    pub(crate) fn of(context: &BackendContext<'_>) -> Option<Arc<Self>> {
        context.store.find::<Arc<Self>>(OvsBackend::NAME).map(|state| Arc::clone(&*state))
    }

    /// Of a cluster of which nothing is.
    pub(crate) fn begin(context: &BackendContext<'_>, names: Names, netlink: Netlink, programs: Programs) -> Arc<Self> {
        let state = Arc::new(Self {
            names,
            netlink,
            programs,
            here: Namespace::here(),
            switch: tokio::sync::Mutex::default(),
            nets: Mutex::default(),
            port_config: Mutex::default(),
            pending_removals: Mutex::default(),
        });
        context.store.put(OvsBackend::NAME, Arc::clone(&state));
        state
    }

    /// The switch, if it was started or found.
    pub(crate) async fn running(&self) -> Option<Arc<Switch>> {
        self.switch.lock().await.clone()
    }

    /// Whether a net is ready; none if it was not begun.
    pub(crate) fn net(&self, net: NetId) -> Option<bool> {
        lock(&self.nets).get(&net).copied()
    }

    /// Remembers how far a net is.
    pub(crate) fn keep_net(&self, net: NetId, ready: bool) {
        lock(&self.nets).insert(net, ready);
    }

    /// Forgets a net. Whether there is no other.
    pub(crate) fn forget_net(&self, net: NetId) -> bool {
        let mut nets = lock(&self.nets);
        nets.remove(&net);
        nets.is_empty()
    }

    /// Whether no net was begun.
    pub(crate) fn has_no_net(&self) -> bool {
        lock(&self.nets).is_empty()
    }

    /// What a port was answered.
    pub(crate) fn port_config(&self, port: &Port) -> Option<PortConfig> {
        lock(&self.port_config).get(&key(port)).cloned()
    }

    pub(crate) fn keep(&self, port: &Port, port_config: PortConfig) {
        lock(&self.port_config).insert(key(port), port_config);
    }

    /// Forgets what a port was answered, and with it the descriptor.
    pub(crate) fn forget(&self, port: &Port) -> Option<PortConfig> {
        lock(&self.port_config).remove(&key(port))
    }

    /// Remembers that a port is on its way out.
    pub(crate) fn add_pending_removal(&self, port: &Port, removal: PendingRemoval) {
        lock(&self.pending_removals).insert(key(port), removal);
    }

    /// Waits until a port is gone, if it is on its way out.
    pub(crate) async fn wait_removed(&self, port: &Port) -> Result<(), NetError> {
        let removal = lock(&self.pending_removals).remove(&key(port));
        wait_all(removal).await
    }

    /// The same for all ports of a net.
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
