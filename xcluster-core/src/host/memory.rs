//! The memory that this host has left.

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
