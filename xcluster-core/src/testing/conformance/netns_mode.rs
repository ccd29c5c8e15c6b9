//! Where the clusters of a subject are: in which network namespace, and whether they share it. Makes nothing in it.

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::host::{Namespace, Netns};
use crate::testing::TestFailure;

/// The network namespace of a subject's clusters. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct NetnsMode {
    wanted: Option<Netns>,
    /// What holds one that is used by name.
    held: Arc<OnceLock<Namespace>>,
}

impl NetnsMode {
    pub(super) fn new(wanted: Netns) -> Self {
        Self { wanted: Some(wanted), held: Arc::default() }
    }

    /// The same for another trial, which is not to meet the others.
    pub(super) fn anew(&self) -> Self {
        Self { wanted: self.wanted.clone(), held: Arc::default() }
    }

    /// The same, and where nothing is wanted a namespace for each cluster.
    pub(super) fn or_private(&self) -> Self {
        Self::new(self.wanted.clone().unwrap_or(Netns::Private))
    }

    /// Whether a second cluster would be where the first one is.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.wanted, Some(Netns::Here | Netns::Named(_)))
    }

    /// The namespace for one more cluster, if clusters are to have one.
    pub(super) fn open(&self) -> Result<Option<Namespace>, TestFailure> {
        match &self.wanted {
            None => Ok(None),
            Some(netns @ Netns::Named(_)) => self.by_its_files(netns).map(Some),
            Some(netns) => Ok(Some(Namespace::open(netns)?)),
        }
    }

    /// As root would have prepared it: held by somebody else, and opened by its files.
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
