//! The networks of a cluster: the only caller of backends. An effect is recorded in the undo log before it is begun, here and
//! nowhere else.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::step::{StepError, step};
use super::undo_log::UndoLog;
use crate::cluster::error::Cause;
use crate::cluster::event::{Event, EventLog};
use crate::cluster::status::NamedPort;
use crate::error_chain;
use crate::host::{HostLocks, Namespace, Netns, Store, Uplink};
use crate::name::{ClusterName, NetId, NodeId};
use crate::net::{BackendContext, Net, NetBackend, NetError, Port, PortConfig, Registry};
use crate::plan::{Plan, PlannedNet, PlannedNic, Step};
use crate::qemu::process::describe;

/// The backends that carry a cluster's nets, and their undo log.
#[derive(Debug)]
pub(super) struct Networks {
    name: ClusterName,
    folder: PathBuf,
    backends: Registry,
    events: Arc<EventLog>,
    undo: RefCell<UndoLog>,
    /// The ports that were set up for QEMUs of other processes.
    named: RefCell<BTreeMap<(NodeId, NetId), NamedPort>>,
    host_locks: HostLocks,
    store: Store,
    /// The cluster's network namespace, once it is there, if a backend needs one. After the store, whose values may hold
    /// things in it.
    namespace: OnceCell<Namespace>,
    /// How to close the uplink, and the task that then ends.
    uplink: RefCell<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Networks {
    pub(super) fn new(name: ClusterName, folder: &Path, backends: Registry, events: Arc<EventLog>) -> Self {
        Self {
            name,
            folder: folder.to_owned(),
            backends,
            events,
            undo: RefCell::default(),
            named: RefCell::default(),
            host_locks: HostLocks::new(),
            store: Store::new(),
            namespace: OnceCell::new(),
            uplink: RefCell::default(),
        }
    }

    pub(super) fn backends(&self) -> &Registry {
        &self.backends
    }

    /// The cluster's network namespace, once it is there.
    pub(super) fn namespace(&self) -> Option<&Namespace> {
        self.namespace.get()
    }

    /// Makes or opens the network namespace.
    pub(super) async fn open_namespace(&self, netns: &Netns) -> Result<(), StepError> {
        let open = async {
            // It takes a child of a few system calls, so there is nothing to wait for.
            let namespace = Namespace::open(netns).map_err(NetError::from)?;
            let second = |_| Cause::io("make a second network namespace", std::io::ErrorKind::AlreadyExists);
            self.namespace.set(namespace).map_err(second)
        };
        step(&self.events, Step::Netns { netns: netns.clone() }, open).await
    }

    /// Connects the namespace to the outside.
    pub(super) async fn open_uplink(&self) -> Result<(), StepError> {
        let open = async {
            let Some(namespace) = self.namespace.get() else { return Ok(()) };
            let mut uplink = Uplink::open(namespace, &self.folder).await?;
            let (close, closing) = oneshot::channel();
            let events = Arc::downgrade(&self.events);
            let watch = tokio::task::spawn_local(async move {
                let ended = tokio::select! {
                    // Also when the sender was dropped.
                    _ = closing => return uplink.close().await,
                    ended = uplink.ended() => ended,
                };
                if let Some(events) = events.upgrade() {
                    let how = ended.map_or_else(|error| error_chain::one_line(&error), describe);
                    events.note(Event::Note { text: format!("uplink lost: `pasta` {how}") });
                }
            });
            *self.uplink.borrow_mut() = Some((close, watch));
            Ok(())
        };
        step(&self.events, Step::Uplink, open).await
    }

    /// Asks each backend of these nets and NICs whether this host can carry them.
    pub(super) async fn preflight(&self, nets: &[&PlannedNet], nics: &[&PlannedNic]) -> Result<(), StepError> {
        let of_nets = nets.iter().map(|planned| planned.backend.as_str());
        let mut names: Vec<&str> = Vec::new();
        for name in of_nets.chain(nics.iter().map(|nic| nic.backend.as_str())) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for name in names {
            let nets: Vec<Net> =
                nets.iter().filter(|planned| planned.backend == name).map(|planned| planned.net.clone()).collect();
            let ports: Vec<Port> = nics.iter().filter(|nic| nic.backend == name).map(|nic| nic.port.clone()).collect();
            let ask = async { Ok(self.backend(name).preflight(&self.context(), &nets, &ports).await?) };
            step(&self.events, Step::Preflight { backend: name.to_owned() }, ask).await?;
        }
        Ok(())
    }

    /// Asks for nets that come to a cluster that is open, and makes them. They are recorded before the preflight, which may
    /// take host locks.
    pub(super) async fn add(&self, nets: &[&PlannedNet], nics: &[&PlannedNic]) -> Result<(), StepError> {
        nets.iter().for_each(|planned| self.undo.borrow_mut().record_net(&planned.backend, &planned.net));
        self.preflight(nets, nics).await?;
        self.create_nets(nets).await
    }

    /// Makes these nets.
    pub(super) async fn create_nets(&self, nets: &[&PlannedNet]) -> Result<(), StepError> {
        for PlannedNet { net, backend, .. } in nets {
            let create = async {
                self.undo.borrow_mut().record_net(backend, net);
                Ok(self.backend(backend).create_net(&self.context(), net).await?)
            };
            step(&self.events, Step::CreateNet { net: net.id, backend: backend.clone() }, create).await?;
        }
        Ok(())
    }

    /// Sets up the port of a NIC. `accept` may refuse what the backend answers; it is part of the step.
    pub(super) async fn set_up(
        &self,
        nic: &PlannedNic,
        accept: impl FnOnce(&PortConfig) -> Result<(), Cause>,
    ) -> Result<PortConfig, StepError> {
        let PlannedNic { port, backend, .. } = nic;
        let set_up = async {
            self.undo.borrow_mut().record_port(backend, port);
            let config = self.backend(backend).setup(&self.context(), port).await?;
            let missing = config.kvm.missing_descriptors();
            if !missing.is_empty() {
                return Err(Cause::Descriptors(missing));
            }
            accept(&config)?;
            Ok(config)
        };
        let setup = Step::Setup { node: port.node, net: port.net.id, backend: backend.clone() };
        step(&self.events, setup, set_up).await
    }

    /// What a port that is set up by name was answered.
    pub(super) fn named(&self, node: NodeId, net: NetId) -> Option<NamedPort> {
        self.named.borrow().get(&(node, net)).cloned()
    }

    /// Keeps the answer for a port that is set up by name until its teardown.
    pub(super) fn keep_named(&self, node: NodeId, net: NetId, port: NamedPort) {
        self.named.borrow_mut().insert((node, net), port);
    }

    /// Tears down the ports of a node, on one net or on all. Returns what could not be removed.
    pub(super) async fn tear_down_node(&self, node: NodeId, net: Option<NetId>) -> Vec<String> {
        let ports = self.undo.borrow_mut().take_ports(node, net);
        self.tear_down_ports(&ports).await
    }

    /// Deletes the nets that were begun and are not in this plan. Returns what could not be removed.
    pub(super) async fn delete_unplanned(&self, plan: &Plan) -> Vec<String> {
        let nets = self.undo.borrow_mut().take_nets(|net| plan.net(net.id).is_none());
        self.delete_nets(&nets).await
    }

    /// Closes the uplink, tears down every port and deletes every net. Returns what could not be removed.
    pub(super) async fn tear_down(&self) -> Vec<String> {
        let uplink = self.uplink.borrow_mut().take();
        if let Some((close, closed)) = uplink {
            drop(close);
            // An error means that the task was aborted, and with it what it owned.
            let _ = closed.await;
        }
        let (nets, ports) = self.undo.borrow_mut().take_all();
        let mut leftovers = self.tear_down_ports(&ports).await;
        leftovers.extend(self.delete_nets(&nets).await);
        // The cluster has ended, so there is no later attempt.
        self.undo.borrow_mut().take_all();
        leftovers
    }

    /// Tears down ports, the last one first. A port that fails is recorded again: the next stop of its node tries again, and
    /// at the latest the end of the cluster.
    async fn tear_down_ports(&self, ports: &[(String, Port)]) -> Vec<String> {
        let (context, mut leftovers) = (self.context(), Vec::new());
        for (name, port) in ports.iter().rev() {
            self.named.borrow_mut().remove(&(port.node, port.net.id));
            if let Ok(backend) = self.backends.find(name)
                && let Err(why) = outcome(backend.teardown(&context, port)).await
            {
                self.undo.borrow_mut().record_port(name, port);
                leftovers.push(format!("{} on net {}: {why}", port.node, port.net.id));
            }
        }
        leftovers
    }

    /// Deletes nets, the last one first.
    async fn delete_nets(&self, nets: &[(String, Net)]) -> Vec<String> {
        let (context, mut leftovers) = (self.context(), Vec::new());
        for (name, net) in nets.iter().rev() {
            if let Ok(backend) = self.backends.find(name)
                && let Err(why) = outcome(backend.delete_net(&context, net)).await
            {
                self.undo.borrow_mut().record_net(name, net);
                leftovers.push(format!("net {}: {why}", net.id));
            }
        }
        leftovers
    }

    fn backend(&self, name: &str) -> &Arc<dyn NetBackend> {
        self.backends.find(name).expect("the plan only names backends that are registered")
    }

    /// The parts of the cluster that a backend may use during one call.
    fn context(&self) -> BackendContext<'_> {
        let context = BackendContext::new(&self.name, &self.folder, &self.host_locks, &self.store);
        match self.namespace.get() {
            Some(namespace) => context.in_namespace(namespace),
            None => context,
        }
    }
}

/// The outcome of a backend's removal, also if it panicked: the rest is to be removed all the same.
async fn outcome(work: impl Future<Output = Result<(), NetError>>) -> Result<(), String> {
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(result) => result.map_err(|error| error_chain::one_line(&error)),
        Err(panic) => Err(Cause::from_panic(panic.as_ref()).to_string()),
    }
}
