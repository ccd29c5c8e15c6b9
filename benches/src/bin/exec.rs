//! The time of a command in a node and the rate of its output, against ssh to the same node: with a connection for each command,
//! and with one connection for all of them.

use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use tokio::process::Command;
use xcluster_benches::{Report, cluster, rounds_asked};
use xcluster_core::Node;

/// The output whose rate is measured, in MiB.
const OUTPUT_MIB: usize = 32;

#[tokio::main]
async fn main() -> Result<()> {
    let rounds = rounds_asked(200)?;
    let (cluster, _) = cluster::start(cluster::builder(1)).await?;
    let node = cluster.node(1)?;
    let ssh = Ssh::new(&node).await?;
    let mut report = Report::new("exec");
    round_trips(rounds, &node, &ssh, &mut report).await?;
    output(rounds.div_ceil(40), &node, &ssh, &mut report).await?;
    ssh.close().await?;
    cluster.stop().await?;
    report.print()
}

async fn round_trips(rounds: usize, node: &Node, ssh: &Ssh, report: &mut Report) -> Result<()> {
    let (mut fresh, mut kept, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        // A connection for each command costs a key exchange in an emulated guest: ten rounds are enough.
        if round < 10 {
            fresh.push(millis(async || ssh.run(&["-S", "none"], "true").await).await?.1);
        }
        kept.push(millis(async || ssh.run(&[], "true").await).await?.1);
        ours.push(millis(async || Ok(node.exec("true").await?.ok()?)).await?.1);
    }
    report.row("`true` by ssh, a connection each", "ms", fresh);
    report.pair("ms", ("`true` by ssh, one connection", kept), ("`true` by xcluster", ours));
    Ok(())
}

async fn output(rounds: usize, node: &Node, ssh: &Ssh, report: &mut Report) -> Result<()> {
    let line = format!("head -c {OUTPUT_MIB}m /dev/zero");
    let rate = |millis: f64| OUTPUT_MIB as f64 / millis * 1000.0;
    // For comparison: the guest moves the same bytes through a pipe only.
    let within = format!("{line} | cat >/dev/null");
    let (mut pipe, mut theirs, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        pipe.push(rate(millis(async || Ok(node.exec(&within).await?.ok()?)).await?.1));
        let (by_ssh, took) = millis(async || ssh.run(&[], &line).await).await?;
        theirs.push(rate(took));
        let (by_exec, took) = millis(async || Ok(node.exec(&line).await?.ok()?)).await?;
        ours.push(rate(took));
        ensure!(by_ssh.len() == OUTPUT_MIB << 20 && by_exec.stdout == by_ssh, "output was lost");
    }
    report.row("output through a pipe in the node", "MiB/s", pipe);
    report.pair("MiB/s", ("output by ssh, one connection", theirs), ("output by xcluster", ours));
    Ok(())
}

async fn millis<T>(work: impl AsyncFnOnce() -> Result<T>) -> Result<(T, f64)> {
    let begun = Instant::now();
    let result = work().await?;
    Ok((result, begun.elapsed().as_secs_f64() * 1000.0))
}

/// The ssh of this host, without questions, and without the settings and files of its user.
struct Ssh {
    port: String,
    /// The folder with the socket of the connection that is kept.
    folder: TempDir,
}

impl Ssh {
    async fn new(node: &Node) -> Result<Self> {
        let address = node.address(22).await?.context("the host has no access to the node's ssh server")?;
        let ssh = Self { port: address.port().to_string(), folder: tempfile::tempdir()? };
        // At the first connection, the server makes its key.
        ssh.run(&["-S", "none"], "true").await?;
        ssh.run(&["-o", "ControlMaster=auto", "-o", "ControlPersist=yes"], "true").await?;
        Ok(ssh)
    }

    async fn run(&self, options: &[&str], command: &str) -> Result<Vec<u8>> {
        let output = self.command(options).arg(command).stdin(Stdio::null()).stderr(Stdio::null()).output().await?;
        ensure!(output.status.success(), "ssh {}", output.status);
        Ok(output.stdout)
    }

    async fn close(&self) -> Result<()> {
        self.command(&["-O", "exit"]).stderr(Stdio::null()).status().await?;
        Ok(())
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command.args(["-p", &self.port, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        command.args(["-o", "BatchMode=yes"]).args(options);
        command.arg("-o").arg(format!("ControlPath={}/socket", self.folder.path().display()));
        command.arg("root@127.0.0.1").kill_on_drop(true);
        command
    }
}
