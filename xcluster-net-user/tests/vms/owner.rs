//! Nothing of a cluster survives its owner: the value that stands for it, and the process that holds that.

use std::env;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use xcluster_core::plan::Options;
use xcluster_core::{Cluster, blocking};

use crate::harness::{Traces, boots, builder, failure};

/// Set for the process that is to own a cluster: the folder that the cluster's own is made in.
const OWNER: &str = "XCLUSTER_TEST_OWNER";

/// How long the kernel may take to end a QEMU whose owner is gone.
const GONE: Duration = Duration::from_secs(10);

/// In a runtime of one thread, which the calls keep from doing anything else.
#[tokio::test]
async fn a_cluster_is_used_and_dropped_by_calls_that_block() {
    let cluster = blocking::Cluster::start(builder().nodes(1)).unwrap();
    let pids = cluster.status().unwrap().nodes.into_iter().filter_map(|node| node.pid);
    let traces = Traces::new(cluster.folder(), pids);
    assert_eq!(traces.alive().len(), 1);
    assert_eq!(cluster.node(1).unwrap().exec("hostname").unwrap().text(), "vm-001");
    drop(cluster);
    traces.are_gone();
}

#[tokio::test]
async fn a_cluster_that_is_dropped_while_it_boots_is_gone() {
    let cluster = Cluster::begin(&builder().nodes(2)).unwrap();
    let mut traces = Traces::new(cluster.folder(), []);
    traces.watch(&cluster, boots).await;
    assert_ne!(traces.alive(), [0; 0]);
    drop(cluster);
    traces.are_gone();
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_survives_an_owner_that_is_killed() {
    if let Some(base) = env::var_os(OWNER) {
        return own(Path::new(&base)).await;
    }
    let dir = TempDir::new().unwrap();
    let mut owner = Owner::start(dir.path());
    let traces = owner.traces();
    assert_eq!(traces.alive().len(), 2);
    owner.0.kill().unwrap();
    owner.0.wait().unwrap();

    // They are no children of ours, so nothing tells when they end.
    let deadline = Instant::now() + GONE;
    while !traces.alive().is_empty() && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    // Any start of this user sweeps, also one that fails.
    let mut options = Options::default();
    options.qemu = PathBuf::from("/nonexistent/qemu");
    let failure = failure(builder().nodes(1).folder(dir.path().join("base")).options(options)).await;
    assert!(failure.cause.to_string().contains("/nonexistent/qemu"), "{failure:?}");
    traces.are_gone();
}

/// What the other process does: it starts a cluster, tells what it consists of, and waits to be killed.
async fn own(base: &Path) {
    let started = Cluster::start(builder().folder(base).nodes(1).routers(1)).await;
    let cluster = started.unwrap_or_else(|error| panic!("{error:?}"));
    let pids = cluster.status().await.unwrap().nodes.into_iter().filter_map(|node| node.pid);
    let describe: Vec<String> = pids.map(|pid| pid.to_string()).collect();
    eprintln!("{MARK}{}\t{}", cluster.folder().display(), describe.join(" "));
    // Ends when the other side does, whatever happens there.
    let _ = io::stdin().read_line(&mut String::new());
}

const MARK: &str = "owned: ";

struct Owner(Child);

impl Owner {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "owner::nothing_survives_an_owner_that_is_killed", "--nocapture"]);
        command.env(OWNER, dir.join("base")).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// What the owner says that its cluster consists of.
    fn traces(&mut self) -> Traces {
        let said = BufReader::new(self.0.stderr.take().unwrap());
        let mut other = Vec::new();
        for line in said.lines().map(Result::unwrap) {
            if let Some((folder, pids)) = line.strip_prefix(MARK).and_then(|describe| describe.split_once('\t')) {
                return Traces::new(folder, pids.split(' ').map(|pid| pid.parse().unwrap()));
            }
            other.push(line);
        }
        panic!("the owner failed: {}", other.join("\n"));
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
