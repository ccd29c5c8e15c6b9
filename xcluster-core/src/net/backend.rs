//! The trait of network backends: the contract between a backend's author and the cluster.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Capabilities, Net, NetError, Port, PortConfig, Settings};
use crate::host::{HostLocks, Namespace, Store};
use crate::name::ClusterName;
use crate::topology::{NetKind, Problems};

/// Connects the NICs of VMs to networks: bridges and taps, sockets, a switch, a script.
///
/// The contract has two parties. *The cluster* owns everything and decides the order of calls. *The backend* makes one data
/// path. All clusters of a process share a backend, so it keeps the state of one cluster in the [`BackendContext`] of the
/// call, never in a global.
///
/// # Contract
/// Each line is a test of the conformance suite, `xcluster_core::testing::conformance`, with the same text.
///
/// 1. A repeated setup answers the same args and access and makes nothing new.
/// 2. Teardown of what is absent succeeds.
/// 3. A durable backend can undo from the request alone in another process.
/// 4. Only objects named after the request are touched, and a foreign object of that name is a conflict, left as it
///    was.
/// 5. Ports of different nodes are set up concurrently.
/// 6. A failed setup leaves nothing that teardown would not remove.
/// 7. Real QEMU accepts the arguments.
/// 8. After `delete_net` the host looks as before.
/// 9. What the capabilities promise, traffic shows.
///
/// # Order of calls
/// While planning, [`configured`](Self::configured) and [`capabilities`](Self::capabilities). Then for each cluster:
///
/// 1. [`preflight`](Self::preflight) once, with all nets and ports of the backend; again for those that are added later.
/// 2. [`create_net`](Self::create_net) once per net.
/// 3. [`setup`](Self::setup) per node and net: at the same time for different nodes, and in the order of the NICs for one
/// node. A node that is stopped is torn down, and may be set up again.
/// 4. [`teardown`](Self::teardown) of each port once its VM is gone.
/// 5. [`delete_net`](Self::delete_net) of each net.
///
/// After a failure, steps 4 and 5 follow for everything that was begun. If the owner dies there are no calls: then the kernel
/// frees what the backend made, or the next cluster finds it by its name and its ownership mark.
///
/// # Errors
/// The kinds of [`NetError`]. A message says what was attempted; the cluster adds the node and the net. Calls do not panic,
/// and do not wait without a deadline.
#[async_trait]
pub trait NetBackend: fmt::Debug + Send + Sync {
    /// The name that topologies and `--net` choose the backend by: lower case, unique in a [`Registry`](super::Registry).
    fn name(&self) -> &str;

    /// Returns this backend with the topology's settings applied: those of the table `[backend.NAME]`.
    /// [`configure`](super::configure) does it for a configuration that serde knows. Called before everything else, maybe
    /// more than once. Pure.
    ///
    /// # Errors
    /// Every setting that the backend does not take, with its place in the table. The default implementation takes none.
    fn configured(&self, settings: &Settings) -> Result<Arc<dyn NetBackend>, Problems> {
        Err(takes_none(self.name(), settings))
    }

    /// The promises for nets of this kind. Pure: always the same answer, on any host.
    fn capabilities(&self, kind: NetKind) -> Capabilities;

    /// Checks whether this host can carry nets with this backend. Called before there is a cluster, to choose a default
    /// backend. Quick, without effects. It may leave checks to [`preflight`](Self::preflight).
    ///
    /// # Errors
    /// [`NetError::Unsupported`], with what the host lacks.
    fn usable(&self) -> Result<(), NetError> {
        Ok(())
    }

    /// Checks whether this host can carry these nets with these ports: the first ones of a cluster, or those that are added
    /// to it. An added port may come without its net, which an earlier call had. The only effect is on
    /// [`BackendContext::host_locks`]: shared numbers are locked here, so that a cluster that cannot get them has done
    /// nothing yet.
    ///
    /// # Errors
    /// [`NetError::Unsupported`] if the host lacks something, [`NetError::InUse`] if a number is taken.
    async fn preflight(&self, context: &BackendContext<'_>, nets: &[Net], ports: &[Port]) -> Result<(), NetError>;

    /// Makes what the ports of a net share, such as a bridge.
    ///
    /// # Errors
    /// [`NetError::Conflict`] if a foreign object has its name.
    async fn create_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError>;

    /// Sets up one port, and answers how QEMU uses it.
    ///
    /// # Errors
    /// Any kind. Nothing is left that [`teardown`](Self::teardown) would not remove.
    async fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError>;

    /// Removes what [`setup`](Self::setup) made for a port, if it exists.
    ///
    /// # Errors
    /// An existing object could not be removed.
    async fn teardown(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError>;

    /// Removes what [`create_net`](Self::create_net) made, if it exists.
    ///
    /// # Errors
    /// An existing object could not be removed.
    async fn delete_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError>;
}

/// The error of a backend without settings that is given some.
pub(crate) fn takes_none(backend: &str, settings: &Settings) -> Problems {
    let mut problems = Problems::default();
    for key in settings.keys() {
        problems.add(key, format!("backend `{backend}` has no settings"));
    }
    if problems.is_empty() {
        problems.add("", format!("backend `{backend}` has no settings, so it has no table"));
    }
    problems
}

/// The parts of a cluster that a backend may use during one call.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BackendContext<'a> {
    /// The cluster's name. Objects that need a name derive it from this one.
    pub cluster: &'a ClusterName,
    /// The cluster's private folder, mode 0700. It is removed with the cluster.
    pub dir: &'a Path,
    /// The cluster's locks of numbers that clusters share. They end with the cluster.
    pub host_locks: &'a HostLocks,
    /// The state that backends keep of this cluster between calls.
    pub store: &'a Store,
    /// The network namespace of the cluster, which all of its backends share. Present if any of them needs one.
    pub namespace: Option<&'a Namespace>,
}

impl<'a> BackendContext<'a> {
    /// A backend context, for programs that start nodes themselves and for tests of backends.
    pub const fn new(cluster: &'a ClusterName, dir: &'a Path, host_locks: &'a HostLocks, store: &'a Store) -> Self {
        Self { cluster, dir, host_locks, store, namespace: None }
    }

    /// Adds a network namespace.
    #[must_use]
    pub const fn in_namespace(mut self, namespace: &'a Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// The cluster's network namespace, for a backend whose capabilities require one.
    ///
    /// # Errors
    /// The cluster has none.
    pub fn needed_namespace(&self) -> Result<&'a Namespace, NetError> {
        self.namespace.ok_or_else(|| NetError::Other {
            message: "the cluster has no network namespace, and no backend asked for one".to_owned(),
            source: None,
        })
    }
}
