//! The limit of open descriptors of this process.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open descriptors so that `more` can be opened, up to the hard limit. The usual 1024 are too few
/// for 200 nodes, since each takes several and a process may have several clusters.
///
/// Returns the limit that is now in force.
pub fn raise_fd_limit(more: u64) -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64);
    let raised = open.saturating_add(more).min(hard);
    if raised <= soft {
        return soft;
    }
    match setrlimit(Resource::RLIMIT_NOFILE, raised, hard) {
        Ok(()) => raised,
        Err(_) => soft,
    }
}
