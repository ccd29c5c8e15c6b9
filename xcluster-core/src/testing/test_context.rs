//! A backend context that a test owns instead of a cluster.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::host::{HostLocks, Namespace, Netns, Store};
use crate::name::ClusterName;
use crate::net::BackendContext;

use super::TestFailure;

/// The name, folder, host locks, store and network namespace of a cluster, without the cluster. Dropping it frees them, as the
/// end of the cluster would.
#[derive(Debug)]
pub struct TestContext {
    name: ClusterName,
    dir: TempDir,
    host_locks: HostLocks,
    // Dropped before the namespace, since backend state may use it.
    store: Store,
    namespace: Option<Arc<Namespace>>,
}

impl TestContext {
    /// A test context without a network namespace, for a cluster of this name, which must be valid ([`ClusterName::new`]).
    ///
    /// # Errors
    /// The name is not valid, or the folder cannot be made.
    pub fn new(name: &str) -> io::Result<Self> {
        Self::within(&std::env::temp_dir(), name)
    }

    /// The same with its folder inside of this one. A test that may be killed chooses one that is removed anyway.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn within(folder: &Path, name: &str) -> io::Result<Self> {
        let name = ClusterName::new(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let dir = tempfile::Builder::new().prefix("xcluster-test-context-").tempdir_in(folder)?;
        Ok(Self { name, dir, host_locks: HostLocks::new(), store: Store::new(), namespace: None })
    }

    /// The same for a cluster in a network namespace.
    ///
    /// # Errors
    /// As [`new`](Self::new), or the namespace cannot be made or opened.
    pub fn in_netns(name: &str, netns: &Netns) -> Result<Self, TestFailure> {
        Ok(Self::new(name)?.in_namespace(Namespace::open(netns)?))
    }

    /// The same in this network namespace.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<Arc<Namespace>>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The cluster's network namespace, if it has one.
    pub const fn namespace(&self) -> Option<&Arc<Namespace>> {
        self.namespace.as_ref()
    }

    /// The backend context, for one call.
    pub fn context(&self) -> BackendContext<'_> {
        let context = BackendContext::new(&self.name, self.dir.path(), &self.host_locks, &self.store);
        match &self.namespace {
            Some(namespace) => context.in_namespace(namespace),
            None => context,
        }
    }
}
