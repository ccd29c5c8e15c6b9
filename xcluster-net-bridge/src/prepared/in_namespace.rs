//! Runs code on a thread in a namespace, because `/proc/sys/net` shows each thread its own namespace.

use std::thread;

use nix::sched::{CloneFlags, setns};
use xcluster_core::host::Namespace;

use super::error::PreparedError;

/// Runs it on a thread that enters the network namespace and then ends. Root may do so without entering the user namespace.
pub(super) fn in_namespace<T: Send>(
    namespace: &Namespace,
    work: impl FnOnce() -> T + Send,
) -> Result<T, PreparedError> {
    let Some((_, net)) = namespace.descriptors() else { return Ok(work()) };
    let enter = || setns(net, CloneFlags::CLONE_NEWNET).map(|()| work());
    let done = thread::scope(|scope| scope.spawn(enter).join());
    let failed = |source| PreparedError::Io { action: "enter the network namespace".to_owned(), source };
    match done {
        Ok(entered) => entered.map_err(|errno| failed(errno.into())),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
