//! The clusters that are measured, and the time and CPU time that their starts take.

use std::time::Instant;

use anyhow::Result;
use xcluster_core::topology::Topology;
use xcluster_core::{Builder, Cluster};
use xcluster_net_user::UserBackend;

use crate::process;

/// A cluster with this number of nodes: the four workers and two routers of the default topology if it is six, else workers only.
pub fn builder(machines: u16) -> Builder {
    let builder = Cluster::builder().backend(UserBackend::default());
    match machines {
        6 => builder.topology(Topology::default()),
        nodes => builder.nodes(nodes),
    }
}

/// The costs of a start.
#[derive(Debug, Clone, Copy)]
pub struct Boot {
    /// From the call until the last node is ready, in seconds.
    pub wall: f64,
    /// The CPU seconds of all QEMUs until then.
    pub cpu: f64,
    /// The CPU seconds of the owner until then.
    pub owner: f64,
}

impl Boot {
    /// Measures a start; `start` returns a value that keeps the QEMUs alive, and their process ids.
    ///
    /// # Errors
    /// The start failed.
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

/// Starts a cluster, and returns it with the process ids of its QEMUs.
///
/// # Errors
/// The start failed.
pub async fn start(builder: Builder) -> Result<(Cluster, Vec<u32>)> {
    let cluster = Cluster::start(builder).await?;
    let status = cluster.status().await?;
    let pids = status.nodes.iter().filter_map(|node| node.pid).collect();
    Ok((cluster, pids))
}
