//! Descriptors and memory: how much of each this process can still get.

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

/// The memory and swap that programs can still get, in MiB. `None` where the kernel does not report it.
pub fn available_memory() -> Option<u64> {
    available(&std::fs::read_to_string("/proc/meminfo").ok()?)
}

fn available(meminfo: &str) -> Option<u64> {
    let kibibytes = |key: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().split(' ').next()?.parse().ok()
    };
    Some((kibibytes("MemAvailable:")? + kibibytes("SwapFree:").unwrap_or(0)) / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swap_counts_where_there_is_some() {
        let text = "MemTotal: 9999999 kB\nMemFree: 1 kB\nMemAvailable:    2097152 kB\n";
        assert_eq!(available(text), Some(2048));
        assert_eq!(available(&format!("{text}SwapFree:  1048576 kB\n")), Some(3072));
        assert_eq!(available("MemTotal: 1 kB\n"), None);
    }
}
