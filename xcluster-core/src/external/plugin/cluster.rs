//! The state of one cluster: its instance, and the running calls about it, so that a call that undoes something waits
//! for the one that does it. At its end, a call informs the plugin.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::super::lock;
use super::instance::Instance;
use super::message::{ClusterInfo, Request};
use crate::name::{NetId, NodeId};
use crate::net::{BackendContext, Net, Port};

/// Held by the running call about one object.
type PortLock = Arc<tokio::sync::Mutex<()>>;

/// A cluster that a plugin works for. It ends when neither its store nor a call holds it any more.
#[derive(Debug)]
pub(super) struct PluginCluster {
    pub(super) instance: Arc<Instance>,
    info: ClusterInfo,
    nets: Mutex<BTreeMap<NetId, Arc<RwLock<()>>>>,
    ports: Mutex<BTreeMap<(NetId, NodeId), PortLock>>,
}

/// The object of a call. Calls of one cluster run at the same time, unless they have the same object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    /// The cluster as a whole, before its nets are made.
    Cluster,
    /// A net, with all of its ports.
    Net(&'a Net),
    /// One of its ports.
    Port(&'a Port),
}

/// Held while a call runs.
#[derive(Debug)]
#[expect(dead_code, reason = "what is held is held")]
pub(super) enum CallGuard {
    Cluster,
    Net(OwnedRwLockWriteGuard<()>),
    Port(OwnedRwLockReadGuard<()>, OwnedMutexGuard<()>),
}

impl PluginCluster {
    /// The state of this cluster; made with this instance if there is none.
    pub(super) fn of(context: &BackendContext<'_>, instance: &Arc<Instance>) -> Arc<Self> {
        let name = &instance.plugin.name;
        if let Some(cluster) = context.store.find::<Arc<Self>>(name) {
            return Arc::clone(&*cluster);
        }
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let of = ClusterInfo {
            id: COUNT.fetch_add(1, Ordering::Relaxed),
            cluster: context.cluster.clone(),
            dir: context.dir.to_owned(),
            namespace: context.namespace.map(|namespace| namespace.netns().clone()),
        };
        let cluster = Arc::new(Self {
            instance: Arc::clone(instance),
            info: of,
            nets: Mutex::default(),
            ports: Mutex::default(),
        });
        context.store.put(name, Arc::clone(&cluster));
        cluster
    }

    /// The cluster as requests describe it.
    pub(super) fn info(&self) -> ClusterInfo {
        self.info.clone()
    }

    /// Waits until no other call about the object runs.
    pub(super) async fn lock(&self, subject: Subject<'_>) -> CallGuard {
        match subject {
            Subject::Cluster => CallGuard::Cluster,
            Subject::Net(net) => CallGuard::Net(self.net(net.id).write_owned().await),
            Subject::Port(port) => {
                let net = self.net(port.net.id).read_owned().await;
                CallGuard::Port(net, self.port(port).lock_owned().await)
            }
        }
    }

    fn net(&self, net: NetId) -> Arc<RwLock<()>> {
        let mut nets = lock(&self.nets);
        Arc::clone(nets.entry(net).or_default())
    }

    fn port(&self, port: &Port) -> PortLock {
        let mut ports = lock(&self.ports);
        Arc::clone(ports.entry((port.net.id, port.node)).or_default())
    }
}

impl Drop for PluginCluster {
    fn drop(&mut self) {
        self.instance.end(&Request::End { cluster: self.info.clone() });
    }
}
