//! The network namespaces of a subject's clusters, and whether they share one.

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::host::{Namespace, Netns};
use crate::testing::TestFailure;

/// The network namespace of a subject's clusters. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct NetnsMode {
    wanted: Option<Netns>,
    /// The namespace of [`Netns::Named`], which the trial makes and keeps open.
    held: Arc<OnceLock<Namespace>>,
}

impl NetnsMode {
    pub(super) fn new(wanted: Netns) -> Self {
        Self { wanted: Some(wanted), held: Arc::default() }
    }

    /// The same for another trial, which gets another namespace.
    pub(super) fn anew(&self) -> Self {
        Self { wanted: self.wanted.clone(), held: Arc::default() }
    }

    /// The same, or a private namespace for each cluster if no other was set.
    pub(super) fn or_private(&self) -> Self {
        Self::new(self.wanted.clone().unwrap_or(Netns::Private))
    }

    /// Whether a second cluster would be in the namespace of the first.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.wanted, Some(Netns::Here | Netns::Named(_)))
    }

    /// The namespace for one more cluster, if clusters have one.
    pub(super) fn open(&self) -> Result<Option<Namespace>, TestFailure> {
        match &self.wanted {
            None => Ok(None),
            Some(netns @ Netns::Named(_)) => self.by_its_files(netns).map(Some),
            Some(netns) => Ok(Some(Namespace::open(netns)?)),
        }
    }

    /// Opens the namespace by its files, like one that root prepared.
    fn by_its_files(&self, netns: &Netns) -> Result<Namespace, TestFailure> {
        if self.held.get().is_none() {
            // The trials of a subject run one after the other, each in its own netns mode.
            let _ = self.held.set(Namespace::private()?);
        }
        let held = self.held.get().and_then(Namespace::descriptors);
        let (user, net) = held.ok_or_else(|| TestFailure::new("a private namespace has no descriptors"))?;
        let file = |number: i32| PathBuf::from(format!("/proc/self/fd/{number}"));
        let user = user.map(|user| file(user.as_raw_fd()));
        Ok(Namespace::from_files(netns.clone(), user.as_deref(), &file(net.as_raw_fd()))?)
    }
}
