//! The processes that an owner leaves, until the last of them has gone.

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use tokio::time::{Instant, timeout_at};
use xcluster_core::testing::TestFailure;

/// Makes orphans children of this process, so that their end is an event.
pub(crate) fn adopt() -> io::Result<()> {
    Ok(set_child_subreaper(true)?)
}

/// The processes of a session.
pub(crate) fn members(session: i32) -> Vec<Pid> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| session_of(*pid) == Some(session)).map(Pid::from_raw).collect()
}

/// From /proc/PID/stat: `pid (name) state parent group session …`; a name may contain any character.
fn session_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(3)?.parse().ok()
}

/// Waits until a session has no process. Its leader was reaped before.
pub(crate) async fn wait_ended(session: i32, deadline: Instant) -> Result<(), TestFailure> {
    let mut reaped = tokio::task::spawn_blocking(move || {
        loop {
            let left = members(session);
            if left.is_empty() {
                return;
            }
            for pid in left {
                // It fails while the parent lives; when that has ended, the process is our child.
                while waitpid(pid, None) == Err(Errno::EINTR) {}
            }
        }
    });
    if let Ok(reaped) = timeout_at(deadline, &mut reaped).await {
        return Ok(reaped?);
    }
    let left = members(session);
    let lines =
        left.iter().map(|pid| format!("{pid} {}", fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()));
    let failed = TestFailure::new(lines.collect::<String>()).during("processes are left");
    for pid in left {
        let _ = kill(pid, Signal::SIGKILL);
    }
    Err(failed)
}
