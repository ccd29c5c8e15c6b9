//! What is remembered of a cluster: which instance it has, and which calls about it go on, so that what undoes something comes
//! when that has ended. Its own end is the last that the plugin hears of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use super::super::lock;
use super::instance::Instance;
use super::message::{ClusterInfo, Request};
use crate::name::{NetId, NodeId};
use crate::net::{BackendContext, Net, Port};

/// Held by the one call about a port that goes on.
type PortLock = Arc<tokio::sync::Mutex<()>>;

/// A cluster that a plugin works for. It ends when nobody has it any more: not its store, and no call.
#[derive(Debug)]
pub(super) struct PluginCluster {
    pub(super) instance: Arc<Instance>,
    info: ClusterInfo,
    nets: Mutex<BTreeMap<NetId, Arc<RwLock<()>>>>,
    ports: Mutex<BTreeMap<(NetId, NodeId), PortLock>>,
}

/// What a call is about. Those of one cluster come at the same time unless they are about the same.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    /// The cluster as a whole, before there is anything of it.
    Cluster,
    /// A net, with all of its ports.
    Net(&'a Net),
    /// One of its ports.
    Port(&'a Port),
}

/// Held while a call goes on.
#[derive(Debug)]
#[expect(dead_code, reason = "what is held is held")]
pub(super) enum CallGuard {
    Cluster,
    Net(OwnedRwLockWriteGuard<()>),
    Port(OwnedRwLockReadGuard<()>, OwnedMutexGuard<()>),
}

impl PluginCluster {
    /// Of this cluster; it begins with this instance if there is none.
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

    /// The cluster as a plugin is told of it.
    pub(super) fn info(&self) -> ClusterInfo {
        self.info.clone()
    }

    /// Waits until no other call about the same goes on.
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
