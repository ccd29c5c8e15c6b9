//! Work that must be done by a thread of the namespace itself: `/proc/sys/net` shows each thread its own. Decides nothing.

use std::thread;

use nix::sched::{CloneFlags, setns};
use xcluster_core::host::Namespace;

use super::error::PreparedError;

/// Does it on a thread that enters the namespace and then ends. Root may, without entering the user's namespace too.
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
