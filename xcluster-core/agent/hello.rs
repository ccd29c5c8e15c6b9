//! The agent's report about its guest.

use std::fs;

use crate::protocol::{Hello, VERSION};

/// The file in which the guest's init lists the scripts that failed, one per line.
const FAILED: &str = "/run/xcluster/failed";
/// The maximum number of reported failures.
const MOST_FAILED: usize = 64;
const LONGEST_NAME: usize = 256;

/// Returns the report for a session, or for any host if the session is 0.
pub(crate) fn hello(session: u64, uptime_ms: u64) -> Hello {
    Hello { version: VERSION, session, uptime_ms, hostname: hostname(), failed: failed() }
}

/// Milliseconds since the guest booted.
pub(crate) fn uptime_ms() -> u64 {
    let seconds = fs::read_to_string("/proc/uptime").ok().and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    (seconds.unwrap_or(0.0) * 1000.0) as u64
}

fn hostname() -> Vec<u8> {
    fs::read("/proc/sys/kernel/hostname").unwrap_or_default().trim_ascii_end().to_vec()
}

fn failed() -> Vec<Vec<u8>> {
    let list = fs::read(FAILED).unwrap_or_default();
    let names = list.split(|byte| *byte == b'\n').filter(|name| !name.is_empty());
    names.take(MOST_FAILED).map(|name| name[..name.len().min(LONGEST_NAME)].to_vec()).collect()
}
