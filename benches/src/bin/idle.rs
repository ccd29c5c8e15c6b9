//! The memory and CPU time of idle nodes: of their owner, and of their QEMUs. The owner is another process, this program with
//! `--own N`, so that the costs of measuring are not measured.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use xcluster_benches::cluster;
use xcluster_benches::process::{Memory, cpu_seconds};
use xcluster_benches::{Report, rounds_asked};

/// How long to wait before the measurement: until then, the guest's services have finished their start.
const SETTLE: Duration = Duration::from_secs(10);
/// How long it is measured.
const WATCH: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    match args.iter().skip_while(|arg| *arg != "--own").nth(1) {
        Some(machines) => own(machines.parse()?).await,
        None => measure().await,
    }
}

/// Owns a cluster until standard input ends. Prints the process ids of its QEMUs.
async fn own(machines: u16) -> Result<()> {
    let (cluster, pids) = cluster::start(cluster::builder(machines)).await?;
    let mut line = serde_json::to_string(&pids)?;
    line.push('\n');
    tokio::io::stdout().write_all(line.as_bytes()).await?;
    tokio::io::stdout().flush().await?;
    tokio::io::stdin().read_to_end(&mut Vec::new()).await?;
    Ok(cluster.stop().await?)
}

/// The costs of an idle cluster.
#[derive(Debug, Clone, Copy)]
struct Idle {
    owner: Memory,
    /// Thousandths of a core.
    owner_cpu: f64,
    /// The average of the QEMUs.
    qemu: Memory,
    /// Thousandths of a core.
    qemu_cpu: f64,
}

async fn measure() -> Result<()> {
    let mut report = Report::new("idle");
    let (mut one, mut six) = (Vec::new(), Vec::new());
    for _ in 0..rounds_asked(1)? {
        one.push(idle(1).await?);
        six.push(idle(6).await?);
    }
    let mut row = |what: &str, unit, samples: &[Idle], figure: fn(&Idle) -> f64| {
        report.row(what, unit, samples.iter().map(figure));
    };
    for (nodes, samples) in [("1 node", &one), ("6 nodes", &six)] {
        row(&format!("owner of {nodes}: RSS"), "MiB", samples, |idle| idle.owner.rss);
        row(&format!("owner of {nodes}: PSS"), "MiB", samples, |idle| idle.owner.pss);
        row(&format!("owner of {nodes}: CPU"), "‰ of a core", samples, |idle| idle.owner_cpu);
        row(&format!("each QEMU of {nodes}: RSS"), "MiB", samples, |idle| idle.qemu.rss);
        row(&format!("each QEMU of {nodes}: PSS"), "MiB", samples, |idle| idle.qemu.pss);
        row(&format!("each QEMU of {nodes}: CPU"), "‰ of a core", samples, |idle| idle.qemu_cpu);
    }
    let more = |figure: fn(&Idle) -> f64| one.iter().zip(&six).map(move |(one, six)| (figure(six) - figure(one)) / 5.0);
    report.row("owner, for each further node: PSS", "MiB", more(|idle| idle.owner.pss));
    report.row("owner, for each further node: CPU", "‰ of a core", more(|idle| idle.owner_cpu));
    report.print()
}

async fn idle(machines: u16) -> Result<Idle> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--own", &machines.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn()?;
    let owner = child.id().context("the owner has ended")?;
    let (input, output) = child.stdin.take().zip(child.stdout.take()).context("the owner has no pipes")?;
    let line = BufReader::new(output).lines().next_line().await?.context("the owner ended without a cluster")?;
    let qemus: Vec<u32> = serde_json::from_str(&line)?;
    tokio::time::sleep(SETTLE).await;
    let all = || -> Result<(f64, f64)> {
        Ok((cpu_seconds(owner)?, qemus.iter().map(|pid| cpu_seconds(*pid)).sum::<Result<f64>>()?))
    };
    let (begun, before) = (Instant::now(), all()?);
    tokio::time::sleep(WATCH).await;
    let (after, took) = (all()?, begun.elapsed().as_secs_f64());
    let memory = qemus.iter().map(|pid| Memory::of(*pid)).collect::<Result<Vec<_>>>()?;
    let count = qemus.len() as f64;
    let qemu = Memory {
        rss: memory.iter().map(|memory| memory.rss).sum::<f64>() / count,
        pss: memory.iter().map(|memory| memory.pss).sum::<f64>() / count,
    };
    let idle = Idle {
        owner: Memory::of(owner)?,
        owner_cpu: (after.0 - before.0) / took * 1000.0,
        qemu,
        qemu_cpu: (after.1 - before.1) / took / count * 1000.0,
    };
    drop(input);
    child.wait().await?;
    Ok(idle)
}
