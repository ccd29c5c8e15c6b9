//! The trait of network backends, which is the contract between a backend's author and the cluster.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Capabilities, Net, NetError, Port, PortConfig, Settings};
use crate::host::{HostLocks, Namespace, Store};
use crate::name::ClusterName;
use crate::topology::{NetKind, Problems};

/// Wires the NICs of VMs to networks: bridges and taps, sockets, a switch, a script.
///
/// The two parties are *the cluster*, which owns everything and decides the order, and *the backend*, which makes one
/// data path. A backend is shared by all clusters of a process, so what belongs to one cluster is kept under the
/// [`BackendContext`] of the call, never in a global.
///
/// # Contract
/// Each line is a test of the conformance suite, `xcluster_core::testing::conformance`, in the same words.
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
/// [`configured`](Self::configured) and [`capabilities`](Self::capabilities) while planning. Then per cluster
/// [`preflight`](Self::preflight) once with all of the backend's nets and ports, and again with those that are added later;
/// [`create_net`](Self::create_net) once per net; [`setup`](Self::setup) per node and net, at the same time for different
/// nodes and in the order of the NICs for one. A node that is stopped by itself is torn down, and may be set up again. At
/// the end [`teardown`](Self::teardown) of each port once its VM is gone, and [`delete_net`](Self::delete_net) of each net.
/// After a failure the same undoing follows for everything that was begun. If the owner dies there are no calls at all:
/// what a backend makes is then freed by the kernel, or found by its name and its owner mark.
///
/// # Errors
/// The kinds of [`NetError`]. Messages say what was attempted; who asked and for which net is added by the cluster.
/// Nothing may panic, and nothing may wait without a deadline.
#[async_trait]
pub trait NetBackend: fmt::Debug + Send + Sync {
    /// The name that topologies and `--net` choose it by: lower case, unique in a [`Registry`](super::Registry).
    fn name(&self) -> &str;

    /// The same backend with what a topology says to it, the table `[backend.NAME]`, put over its own configuration:
    /// [`configure`](super::configure) does that for a configuration that serde knows. Asked before everything else, and
    /// maybe more than once. Pure.
    ///
    /// # Errors
    /// Every setting that it does not take, with its place in the table. A backend that does not implement this takes none.
    fn configured(&self, settings: &Settings) -> Result<Arc<dyn NetBackend>, Problems> {
        Err(takes_none(self.name(), settings))
    }

    /// What it can do for nets of this kind. Pure: the same answer always, on any host.
    fn capabilities(&self, kind: NetKind) -> Capabilities;

    /// Whether this host can carry nets with this backend at all: asked where nobody has chosen one, before there is a
    /// cluster. Quick, and changes nothing. What it does not find out, [`preflight`](Self::preflight) does.
    ///
    /// # Errors
    /// [`NetError::Unsupported`], with what the host lacks.
    fn usable(&self) -> Result<(), NetError> {
        Ok(())
    }

    /// Whether this host can carry these nets with these ports: the first ones of a cluster, or those that are added to it;
    /// a port may come without its net then, which is known. Changes nothing but [`BackendContext::host_locks`]: shared numbers are
    /// locked here, so that a cluster that cannot have them has done nothing yet.
    ///
    /// # Errors
    /// [`NetError::Unsupported`] if the host lacks something, [`NetError::InUse`] if a number that was asked for is
    /// taken.
    async fn preflight(&self, context: &BackendContext<'_>, nets: &[Net], ports: &[Port]) -> Result<(), NetError>;

    /// Makes what the ports of a net share, such as a bridge.
    ///
    /// # Errors
    /// [`NetError::Conflict`] if a foreign object has its name.
    async fn create_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError>;

    /// Wires one port and says how QEMU takes it.
    ///
    /// # Errors
    /// Any kind; nothing is left that [`teardown`](Self::teardown) would not remove.
    async fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError>;

    /// Removes what [`setup`](Self::setup) made for a port, if it is there.
    ///
    /// # Errors
    /// What is there could not be removed.
    async fn teardown(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError>;

    /// Removes what [`create_net`](Self::create_net) made, if it is there.
    ///
    /// # Errors
    /// What is there could not be removed.
    async fn delete_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError>;
}

/// What a backend answers that has no settings, and is told some.
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

/// What a backend may use of the cluster it works for. The cluster owns all of it and lends it for the call.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct BackendContext<'a> {
    /// The cluster's name: objects that need a name of their own derive it from this one.
    pub cluster: &'a ClusterName,
    /// The cluster's private folder, mode 0700. It goes when the cluster goes.
    pub dir: &'a Path,
    /// Numbers that clusters share, locked for the cluster's life.
    pub host_locks: &'a HostLocks,
    /// What backends remember of this cluster from one call to the next.
    pub store: &'a Store,
    /// The network namespace of the cluster, which all of its backends share. There is one if any of them needs it.
    pub namespace: Option<&'a Namespace>,
}

impl<'a> BackendContext<'a> {
    /// A backend context, for those who start nodes themselves or test a backend.
    pub const fn new(cluster: &'a ClusterName, dir: &'a Path, host_locks: &'a HostLocks, store: &'a Store) -> Self {
        Self { cluster, dir, host_locks, store, namespace: None }
    }

    /// The same with a network namespace.
    #[must_use]
    pub const fn in_namespace(mut self, namespace: &'a Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// The cluster's network namespace, for a backend whose capabilities say that it needs one.
    ///
    /// # Errors
    /// The cluster has none.
    pub fn needed_namespace(&self) -> Result<&'a Namespace, NetError> {
        self.namespace.ok_or_else(|| NetError::Other {
            message: "the cluster has no network namespace, and none was said to be needed".to_owned(),
            source: None,
        })
    }
}
