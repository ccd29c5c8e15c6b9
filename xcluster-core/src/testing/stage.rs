//! What the cluster lends to a backend, owned by a test instead. Calls no backend.

use std::io;

use tempfile::TempDir;

use crate::host::{Claims, Store};
use crate::name::ClusterName;
use crate::net::Site;

/// A cluster's name, folder, claims and store without the cluster. Dropping it is the end of the cluster.
#[derive(Debug)]
pub struct Stage {
    name: ClusterName,
    dir: TempDir,
    claims: Claims,
    store: Store,
}

impl Stage {
    /// A stage for a cluster of this name, which must be one ([`ClusterName::new`]).
    ///
    /// # Errors
    /// The name is none, or no folder can be made.
    pub fn new(name: &str) -> io::Result<Self> {
        let name = ClusterName::new(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let dir = tempfile::Builder::new().prefix("xcluster-stage-").tempdir()?;
        Ok(Self { name, dir, claims: Claims::new(), store: Store::new() })
    }

    /// What is lent for a call.
    pub fn site(&self) -> Site<'_> {
        Site::new(&self.name, self.dir.path(), &self.claims, &self.store)
    }
}
