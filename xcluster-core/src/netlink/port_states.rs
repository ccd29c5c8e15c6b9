//! The state of a cluster's ports, for backends with taps.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::future::join_all;
use tokio::task::JoinHandle;

use crate::name::{NetId, NodeId};
use crate::net::{NetError, Port, PortConfig};

/// The ports of one cluster: the config of each, which owns the descriptors that its tap lives by, and the removals that have
/// begun. A removal takes the kernel 10 to 20 ms, so removals run at the same time; `setup` and `delete_net` wait for them.
#[derive(Debug, Default)]
pub struct PortStates {
    configs: Mutex<BTreeMap<Key, PortConfig>>,
    pending_removals: Mutex<BTreeMap<Key, PendingRemoval>>,
}

type Key = (NetId, NodeId);

type PendingRemoval = JoinHandle<Result<(), NetError>>;

impl PortStates {
    /// The config of a port that is set up.
    pub fn config(&self, port: &Port) -> Option<PortConfig> {
        lock(&self.configs).get(&key(port)).cloned()
    }

    /// Keeps the config of a port, and with it the descriptors of its tap.
    pub fn keep(&self, port: &Port, config: PortConfig) {
        lock(&self.configs).insert(key(port), config);
    }

    /// Takes out the config of a port. The tap goes with the last copy of its descriptors.
    pub fn forget(&self, port: &Port) -> Option<PortConfig> {
        lock(&self.configs).remove(&key(port))
    }

    /// Starts the removal of a port. It goes on without the caller. Must run in a tokio runtime.
    pub fn remove_async(&self, port: &Port, removal: impl Future<Output = Result<(), NetError>> + Send + 'static) {
        lock(&self.pending_removals).insert(key(port), tokio::spawn(removal));
    }

    /// Waits until the removal of a port has ended, if one has begun.
    ///
    /// # Errors
    /// The removal failed.
    pub async fn wait_removed(&self, port: &Port) -> Result<(), NetError> {
        let removal = lock(&self.pending_removals).remove(&key(port));
        wait_all(removal).await
    }

    /// Waits until the removals of all ports of a net have ended.
    ///
    /// # Errors
    /// The first removal that failed, after all have ended.
    pub async fn wait_net_removed(&self, net: NetId) -> Result<(), NetError> {
        let removals: Vec<PendingRemoval> = {
            let mut pending = lock(&self.pending_removals);
            let of_net: Vec<Key> = pending.keys().filter(|(of, _)| *of == net).copied().collect();
            of_net.iter().filter_map(|key| pending.remove(key)).collect()
        };
        wait_all(removals).await
    }
}

async fn wait_all(removals: impl IntoIterator<Item = PendingRemoval>) -> Result<(), NetError> {
    join_all(removals).await.into_iter().flatten().collect()
}

fn key(port: &Port) -> Key {
    (port.net.id, port.node)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
