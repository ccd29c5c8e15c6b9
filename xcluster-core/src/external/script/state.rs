//! The backend state of a cluster: the config of each port, and what its script left that has to be removed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::NAME;
use crate::host::{Namespace, ProcessTree};
use crate::name::{NetId, NodeId};
use crate::net::{BackendContext, Port, PortConfig, QemuNetns};

/// A cluster's ports, the path of their script, and where it runs.
#[derive(Debug)]
pub(super) struct ScriptState {
    pub(super) script: PathBuf,
    pub(super) place: QemuNetns,
    here: Namespace,
    ports: Mutex<BTreeMap<(NetId, NodeId), Entry>>,
}

/// The state of a port.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// The process trees of its scripts, parts of which may go on.
    pub(super) trees: Vec<Arc<ProcessTree>>,
    /// Whether the script made the link with the name of the port's tap.
    pub(super) tap: bool,
    /// Whether the script is also called at the end.
    pub(super) teardown: bool,
    port_config: Option<PortConfig>,
}

impl ScriptState {
    /// The state of this cluster; none before its preflight.
    pub(super) fn of(context: &BackendContext<'_>) -> Option<Arc<Self>> {
        context.store.find::<Arc<Self>>(NAME).map(|state| Arc::clone(&*state))
    }

    /// Puts an empty state into the cluster's store.
    pub(super) fn begin(context: &BackendContext<'_>, script: PathBuf, place: QemuNetns) {
        let state = Self { script, place, here: Namespace::here(), ports: Mutex::default() };
        context.store.put(NAME, Arc::new(state));
    }

    /// The namespace in which scripts make links.
    pub(super) fn namespace<'a>(&'a self, context: &BackendContext<'a>) -> &'a Namespace {
        match (&self.place, context.namespace) {
            (QemuNetns::Inside(_), Some(namespace)) => namespace,
            _ => &self.here,
        }
    }

    /// The config of a port that is set up.
    pub(super) fn port_config(&self, port: &Port) -> Option<PortConfig> {
        self.ports().get(&key(port))?.port_config.clone()
    }

    /// Records a script that runs for a port. `tap` says that no tap of its name existed before.
    pub(super) fn begin_port(&self, port: &Port, tree: Arc<ProcessTree>, tap: bool) {
        let mut ports = self.ports();
        let entry = ports.entry(key(port)).or_default();
        entry.trees.push(tree);
        entry.tap |= tap;
    }

    /// Records the answer of the script.
    pub(super) fn finish_port(&self, port: &Port, port_config: PortConfig, teardown: bool) {
        let mut ports = self.ports();
        let entry = ports.entry(key(port)).or_default();
        entry.teardown = teardown;
        entry.port_config = Some(port_config);
    }

    /// Forgets a port.
    pub(super) fn forget(&self, port: &Port) -> Option<Entry> {
        self.ports().remove(&key(port))
    }

    fn ports(&self) -> MutexGuard<'_, BTreeMap<(NetId, NodeId), Entry>> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(port: &Port) -> (NetId, NodeId) {
    (port.net.id, port.node)
}
