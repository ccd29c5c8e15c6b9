//! What the cluster lends to a backend, owned by a test instead. Calls no backend.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::host::{HostLocks, Namespace, Netns, Store};
use crate::name::ClusterName;
use crate::net::BackendContext;

use super::TestFailure;

/// A cluster's name, folder, host locks, store and network namespace without the cluster. Dropping it is the end of the cluster.
#[derive(Debug)]
pub struct TestContext {
    name: ClusterName,
    dir: TempDir,
    host_locks: HostLocks,
    // A backend may have remembered what it uses the namespace by: that goes first.
    store: Store,
    namespace: Option<Arc<Namespace>>,
}

impl TestContext {
    /// A test context for a cluster of this name, which must be one ([`ClusterName::new`]). It has no network namespace.
    ///
    /// # Errors
    /// The name is none, or no folder can be made.
    pub fn new(name: &str) -> io::Result<Self> {
        Self::within(&std::env::temp_dir(), name)
    }

    /// The same with its folder in this one: where the test context may end without a farewell, it goes with that.
    ///
    /// # Errors
    /// Those.
    pub fn within(folder: &Path, name: &str) -> io::Result<Self> {
        let name = ClusterName::new(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let dir = tempfile::Builder::new().prefix("xcluster-stage-").tempdir_in(folder)?;
        Ok(Self { name, dir, host_locks: HostLocks::new(), store: Store::new(), namespace: None })
    }

    /// The same for a cluster in a network namespace.
    ///
    /// # Errors
    /// Those, or the namespace cannot be had.
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

    /// What is lent for a call.
    pub fn context(&self) -> BackendContext<'_> {
        let context = BackendContext::new(&self.name, self.dir.path(), &self.host_locks, &self.store);
        match &self.namespace {
            Some(namespace) => context.in_namespace(namespace),
            None => context,
        }
    }
}
