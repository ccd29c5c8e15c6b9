//! How many nodes boot at once: bounded within a cluster, where nodes boot in their order, and over all clusters of a user.

use std::time::{Duration, Instant};

use nix::unistd::Uid;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use crate::host::{HostLock, HostLockError};

/// The boot slots of a cluster. All clusters of the user share a limited number of them.
#[derive(Debug)]
pub(super) struct BootSlots {
    count: usize,
    own: Semaphore,
    /// One node of a cluster waits for a host lock at a time: each that waits has a connection to every holder.
    queue: Mutex<()>,
}

/// The right to boot a node now. Dropping it gives the slot back.
#[derive(Debug)]
#[must_use]
pub(super) struct BootSlot<'a> {
    _own: SemaphorePermit<'a>,
    _shared: HostLock,
    /// How long other clusters made it wait.
    pub(super) waited: Duration,
}

impl BootSlots {
    pub(super) fn new(count: usize) -> Self {
        Self { count, own: Semaphore::new(count), queue: Mutex::default() }
    }

    /// Waits for a slot.
    pub(super) async fn take(&self, deadline: Duration) -> Result<BootSlot<'_>, HostLockError> {
        let own = self.own.acquire().await.expect("the semaphore is never closed");
        let begun = Instant::now();
        let _queue = self.queue.lock().await;
        let name = format!("boot/{}", Uid::effective());
        let shared = HostLock::take_one_of(&name, self.count, deadline).await?;
        Ok(BootSlot { _own: own, _shared: shared, waited: begun.elapsed() })
    }
}
