//! The clusters that are measured, and how long and how hard they start.

use std::time::Instant;

use anyhow::Result;
use xcluster_core::topology::Topology;
use xcluster_core::{Builder, Cluster};
use xcluster_net_user::UserBackend;

use crate::process;

/// A cluster of this many machines: the default topology's four nodes and two routers if there are six, else nodes only.
pub fn builder(machines: u8) -> Builder {
    let builder = Cluster::builder().backend(UserBackend::default());
    match machines {
        6 => builder.topology(Topology::default()),
        nodes => builder.nodes(nodes),
    }
}

/// What a start took.
#[derive(Debug, Clone, Copy)]
pub struct Boot {
    /// From the order to the last machine's being ready, in seconds.
    pub wall: f64,
    /// The CPU seconds of all QEMUs until then.
    pub cpu: f64,
    /// The CPU seconds of whoever started them.
    pub owner: f64,
}

impl Boot {
    /// Measures a start; `start` gives what keeps the QEMUs alive, and their process ids.
    ///
    /// # Errors
    /// It failed.
    pub async fn measure<T>(start: impl AsyncFnOnce() -> Result<(T, Vec<u32>)>) -> Result<(T, Self)> {
        let owner = process::cpu_seconds(std::process::id())?;
        let begun = Instant::now();
        let (running, pids) = start().await?;
        let wall = begun.elapsed().as_secs_f64();
        let cpu = pids.into_iter().map(process::cpu_seconds).sum::<Result<f64>>()?;
        let owner = process::cpu_seconds(std::process::id())? - owner;
        Ok((running, Self { wall, cpu, owner }))
    }
}

/// Starts a cluster and gives it with the process ids of its QEMUs.
///
/// # Errors
/// It does not start.
pub async fn start(builder: Builder) -> Result<(Cluster, Vec<u32>)> {
    let cluster = Cluster::start(builder).await?;
    let status = cluster.status().await?;
    let pids = status.nodes.iter().filter_map(|node| node.pid).collect();
    Ok((cluster, pids))
}
