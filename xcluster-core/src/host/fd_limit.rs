//! How many descriptors this process may have open.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open descriptors so that `more` can be opened, as far as the hard limit lets it. Each node takes
/// a handful, so that the usual 1024 are not enough for 200 of them, and a process may have several clusters.
///
/// Returns what is allowed now.
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
