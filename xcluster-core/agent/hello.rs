//! What the agent tells about its guest.

use std::fs;

use crate::protocol::{Hello, VERSION};

/// Where the guest's init lists the scripts that failed, one a line.
const FAILED: &str = "/run/xcluster/failed";
/// More failures than this say nothing more.
const MOST_FAILED: usize = 64;
const LONGEST_NAME: usize = 256;

/// Describes the guest to a session, or to whoever listens if the session is 0.
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
