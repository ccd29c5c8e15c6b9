//! The time and CPU time of a start with one node and with six, against QEMUs that are started by hand with the same guest.

use anyhow::{Context, Result};
use xcluster_benches::bare::{self, Bare};
use xcluster_benches::cluster::{self, Boot};
use xcluster_benches::{Report, in_turn, rounds_asked};
use xcluster_core::qemu::accel::boots_at_once;

#[tokio::main]
async fn main() -> Result<()> {
    let rounds = rounds_asked(5)?;
    let mut report = Report::new("boot");
    for machines in [1, 6] {
        compare(machines, rounds, &mut report).await?;
    }
    report.print()
}

async fn compare(machines: u16, rounds: usize, report: &mut Report) -> Result<()> {
    // Not measured: the first start may build the guest. Its args are used for the QEMUs that are started by hand.
    let (warm, pids) = cluster::start(cluster::builder(machines)).await?;
    let guests = pids.into_iter().map(Bare::like).collect::<Result<Vec<_>>>()?;
    let accelerator = warm.status().await?.accel.context("no accelerator")?.accelerator;
    warm.stop().await?;
    let at_once = boots_at_once(accelerator);

    let ours = async || {
        let (cluster, boot) = Boot::measure(async || cluster::start(cluster::builder(machines)).await).await?;
        cluster.stop().await?;
        Ok(boot)
    };
    let by_hand = async || {
        let (running, boot) = Boot::measure(async || bare::boot_all(&guests, at_once).await).await?;
        drop(running);
        Ok(boot)
    };
    let pairs = in_turn(rounds, ours, by_hand).await?;
    let mut pair = |what: &str, figure: fn(&Boot) -> f64| {
        let (ours, theirs) = pairs.iter().map(|(ours, theirs)| (figure(ours), figure(theirs))).unzip();
        let name = |who: &str| format!("{machines} × {what}, {who}");
        report.pair("s", (&name("by hand"), theirs), (&name("xcluster"), ours));
    };
    pair("ready", |boot| boot.wall);
    pair("CPU of QEMU", |boot| boot.cpu);
    report.row(format!("{machines} × CPU of the owner"), "s", pairs.iter().map(|(ours, _)| ours.owner));
    Ok(())
}
