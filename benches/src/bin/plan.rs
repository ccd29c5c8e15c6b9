//! Work without a start: the plan of 200 nodes as a call, and the command `xcluster` as a process, against the shortest process,
//! `true`. The command is the one beside this program.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use xcluster_benches::{Report, cluster, in_turn, rounds_asked};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let rounds = rounds_asked(50)?;
    let mut report = Report::new("plan");
    let builder = cluster::builder(200);
    report.row("plan of 200 nodes, a call", "ms", (0..rounds).map(|_| call(|| builder.plan().is_ok())));
    let plan = builder.plan()?;
    report.row("the same as text", "ms", (0..rounds).map(|_| call(|| plan.to_string().len())));

    let tool = tool()?;
    let commands: [(&str, &[&str]); 3] = [
        ("`xcluster plan --nvm=200`", &["plan", "--nvm=200", "--nrouters=0"]),
        ("`xcluster plan --nvm=200 --json`", &["plan", "--nvm=200", "--nrouters=0", "--json"]),
        ("`xcluster --help`", &["--help"]),
    ];
    for (name, args) in commands {
        let ours = async || run(Command::new(&tool).args(args));
        let pairs = in_turn(rounds, ours, async || run(&mut Command::new("true"))).await?;
        let (ours, theirs) = pairs.into_iter().unzip();
        report.pair("ms", ("`true`, the process", theirs), (name, ours));
    }
    report.print()
}

/// How long a call takes, in milliseconds.
fn call<T>(work: impl FnOnce() -> T) -> f64 {
    let begun = Instant::now();
    std::hint::black_box(work());
    begun.elapsed().as_secs_f64() * 1000.0
}

/// How long a process takes from its start to its end, in milliseconds.
fn run(command: &mut Command) -> Result<f64> {
    let begun = Instant::now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(took)
}

fn tool() -> Result<PathBuf> {
    let tool = std::env::current_exe()?.with_file_name("xcluster");
    ensure!(tool.exists(), "`{}` does not exist: `cargo build --release -p xcluster-cli` builds it", tool.display());
    tool.canonicalize().context("the tool")
}
