//! What is remembered of a cluster from one call to the next: what each port was answered, and what its script has left that
//! is to go with it. Ends nothing itself.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::NAME;
use crate::host::{Namespace, ProcessTree};
use crate::name::{NetId, NodeId};
use crate::net::{BackendContext, Port, PortConfig, QemuNetns};

/// A cluster's ports, and where their script is and runs.
#[derive(Debug)]
pub(super) struct ScriptState {
    pub(super) script: PathBuf,
    pub(super) place: QemuNetns,
    here: Namespace,
    ports: Mutex<BTreeMap<(NetId, NodeId), Entry>>,
}

/// What a port has.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// What the script has started, some of which may go on.
    pub(super) trees: Vec<Arc<ProcessTree>>,
    /// Whether a link with the name of the port's tap can only be from the script.
    pub(super) tap: bool,
    /// Whether the script is to be called at the end.
    pub(super) teardown: bool,
    port_config: Option<PortConfig>,
}

impl ScriptState {
    /// Of this cluster, if there was a preflight.
    pub(super) fn of(context: &BackendContext<'_>) -> Option<Arc<Self>> {
        context.store.find::<Arc<Self>>(NAME).map(|state| Arc::clone(&*state))
    }

    /// Of a cluster that has none.
    pub(super) fn begin(context: &BackendContext<'_>, script: PathBuf, place: QemuNetns) {
        let state = Self { script, place, here: Namespace::here(), ports: Mutex::default() };
        context.store.put(NAME, Arc::new(state));
    }

    /// The namespace that scripts make links in.
    pub(super) fn namespace<'a>(&'a self, context: &BackendContext<'a>) -> &'a Namespace {
        match (&self.place, context.namespace) {
            (QemuNetns::Inside(_), Some(namespace)) => namespace,
            _ => &self.here,
        }
    }

    /// What a port was answered.
    pub(super) fn port_config(&self, port: &Port) -> Option<PortConfig> {
        self.ports().get(&key(port))?.port_config.clone()
    }

    /// A script runs for a port. `tap` says that there was no tap with its name before.
    pub(super) fn begin_port(&self, port: &Port, tree: Arc<ProcessTree>, tap: bool) {
        let mut ports = self.ports();
        let entry = ports.entry(key(port)).or_default();
        entry.trees.push(tree);
        entry.tap |= tap;
    }

    /// It has answered.
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
