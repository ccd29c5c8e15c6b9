//! The CPU time and memory of a process, as the kernel counts them.

use anyhow::{Context, Result};
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The CPU time of a process with all its threads, in seconds of one core.
///
/// # Errors
/// The process has ended.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.try_into()?));
    let time = clock.and_then(clock_gettime).with_context(|| format!("cannot read the CPU time of process {pid}"))?;
    Ok(std::time::Duration::from(time).as_secs_f64())
}

/// The memory of a process, in MiB.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// All of its pages, those that it shares included.
    pub rss: f64,
    /// The same, with each shared page divided by the number of processes that share it.
    pub pss: f64,
}

impl Memory {
    /// Reads the memory of a process.
    ///
    /// # Errors
    /// The process has ended, or belongs to another user.
    pub fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let mebibytes = |key: &str| -> Option<f64> {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
        };
        let (rss, pss) = mebibytes("Rss:").zip(mebibytes("Pss:")).with_context(|| path.clone())?;
        Ok(Self { rss, pss })
    }
}
