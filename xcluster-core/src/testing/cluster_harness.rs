//! Tests on clusters of real VMs: start a cluster, check expectations on it, stop it, and check that nothing is left. The tests
//! of backends say what is expected; an expectation that does not hold panics.

use std::collections::BTreeSet;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;

use crate::cluster::{Builder, Cluster, Error, Event, IntoNodeId, StartFailure};
use crate::guest::exec::{Command, Output};
use crate::net::NetBackend;
use crate::plan::Step;
use crate::qemu::process::find_program;
use crate::test_run::{TestRun, panic_text, skip};

/// How long the expectations of one cluster may take together.
const DEADLINE: Duration = Duration::from_secs(300);

/// Starts a cluster, checks expectations on it, stops it, and checks that nothing is left. The evidence of a failure is kept
/// as [`Cluster::test`] does it, which also skips the test on a host that cannot run VMs.
pub async fn scenario(builder: Builder, expectations: impl AsyncFnOnce(&Cluster)) {
    let mut traces = None;
    let run = TestRun::from_env().unwrap_or_else(|error| panic!("{error}"));
    let outcome = run.run(builder, async |cluster| {
        traces = Some(Traces::of(cluster).await?);
        Ok(tokio::time::timeout(DEADLINE, expectations(cluster)).await?)
    });
    let outcome = outcome.await;
    if let Some(traces) = traces {
        traces.are_gone();
    }
    outcome.unwrap_or_else(|error| panic!("{error:?}"));
}

/// Starts a cluster that cannot come up, and checks that nothing is left of the attempt.
pub async fn failure(builder: Builder) -> Arc<StartFailure> {
    let (cluster, traces, ready) = begin(&builder).await;
    let Err(Error::Start(failure)) = ready else { panic!("the start should have failed: {ready:?}") };
    assert_eq!(failure.leftovers, [""; 0]);
    drop(cluster);
    traces.are_gone();
    failure
}

/// What a cluster would leave if it were not cleaned up: its folder, and a QEMU for each node.
#[derive(Debug)]
pub struct Traces {
    folder: PathBuf,
    qemus: BTreeSet<u32>,
}

impl Traces {
    /// This folder, and these processes.
    pub fn new(folder: impl Into<PathBuf>, qemus: impl IntoIterator<Item = u32>) -> Self {
        Self { folder: folder.into(), qemus: qemus.into_iter().collect() }
    }

    /// The folder and the QEMUs that a cluster has now.
    ///
    /// # Errors
    /// The cluster has ended.
    pub async fn of(cluster: &Cluster) -> Result<Self, Error> {
        let status = cluster.status().await?;
        Ok(Self::new(cluster.folder(), status.nodes.iter().filter_map(|node| node.pid)))
    }

    /// Follows the events of a cluster up to a last one, and notes each QEMU that is started meanwhile.
    pub async fn watch(&mut self, cluster: &Cluster, last: impl Fn(&Event) -> bool) {
        let mut events = cluster.events();
        while let Some(event) = events.next().await {
            if boots(&event) {
                self.qemus.extend(Self::of(cluster).await.expect("the cluster has not ended").qemus);
            }
            if last(&event) {
                return;
            }
        }
    }

    /// Panics if something of it is still there.
    pub fn are_gone(&self) {
        assert!(!self.folder.exists(), "`{}` is left", self.folder.display());
        assert_eq!(self.alive(), [0; 0], "QEMUs are left");
    }

    /// The QEMUs that run, or that were not reaped.
    pub fn alive(&self) -> Vec<u32> {
        self.qemus.iter().copied().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).collect()
    }
}

/// Whether a node's QEMU has just been started.
pub fn boots(event: &Event) -> bool {
    matches!(event, Event::Begin { step: Step::Boot { .. } })
}

/// Starts a cluster, waits until it is ready or has failed, and notes every QEMU that is started.
pub async fn begin(builder: &Builder) -> (Cluster, Traces, Result<(), Error>) {
    need("qemu-system-x86_64");
    let cluster = Cluster::begin(builder).unwrap_or_else(|error| panic!("{error:?}"));
    let mut traces = Traces::new(cluster.folder(), []);
    traces.watch(&cluster, |event| matches!(event, Event::Ready | Event::Failed { .. })).await;
    let outcome = cluster.ready().await;
    (cluster, traces, outcome)
}

/// Runs a command on a node, which must succeed, and returns what it printed.
pub async fn run(cluster: &Cluster, node: impl IntoNodeId, command: impl Into<Command>) -> String {
    let output = attempt(cluster, node, command).await;
    match output.ok() {
        Ok(output) => output.text().into_owned(),
        Err(error) => panic!("{error}"),
    }
}

/// Runs a command on a node, which may fail there.
pub async fn attempt(cluster: &Cluster, node: impl IntoNodeId, command: impl Into<Command>) -> Output {
    let node = cluster.node(node).expect("the scenario has this node");
    let output = node.exec(command.into().timeout(Duration::from_secs(60))).await;
    output.unwrap_or_else(|error| panic!("{error:?}"))
}

/// The results of expectations.
#[derive(Debug, Default)]
pub struct Report {
    /// Those that do not hold, and why.
    failed: Vec<(&'static str, String)>,
}

impl Report {
    /// Checks an expectation. The next one can be checked also if this one does not hold.
    pub async fn check(&mut self, name: &'static str, expectation: impl Future<Output = ()>) {
        let begun = Instant::now();
        let held = AssertUnwindSafe(expectation).catch_unwind().await;
        eprintln!("expectation {name}: {} ({:.1?})", if held.is_ok() { "ok" } else { "FAILED" }, begun.elapsed());
        self.failed.extend(held.err().map(|panic| (name, panic_text(&*panic))));
    }

    /// The expectations that do not hold, and why.
    pub fn failed(&self) -> &[(&'static str, String)] {
        &self.failed
    }

    /// Panics if an expectation did not hold.
    pub fn end(self) {
        let failed: Vec<String> = self.failed.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        assert!(failed.is_empty(), "these expectations do not hold:\n{}", failed.join("\n"));
    }
}

/// Checks expectations on a cluster, which are async functions of it, one after the other. Panics at the end if one did not hold.
#[macro_export]
macro_rules! expectations {
    ($cluster:expr; $($expectation:path),+ $(,)?) => {{
        let mut report = $crate::testing::cluster_harness::Report::default();
        $( report.check(stringify!($expectation), $expectation($cluster)).await; )+
        report.end();
    }};
}

/// Panics if a program is not installed. Without it the test would check nothing.
pub fn need(program: &str) {
    assert!(find_program(program.as_ref()).is_some(), "`{program}` is not installed: `make test` installs it");
}

/// Whether this host can carry a backend. If not, the test is [skipped](skip), and its caller returns.
///
/// # Panics
/// The backend is not usable, and tests must not be skipped.
pub fn is_usable(backend: &dyn NetBackend) -> bool {
    let usable = backend.usable();
    if let Err(error) = &usable {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let lacking = format!("backend `{}` is not usable on this host: {error}", backend.name());
        skip(&test, lacking).unwrap_or_else(|error| panic!("{error}"));
    }
    usable.is_ok()
}

/// The links of the network namespace that this process is in.
pub fn links() -> BTreeSet<String> {
    let table = std::fs::read_to_string("/proc/self/net/dev").expect("there is a network");
    table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// An IPv4 address of a node, and its IPv6 address with the default prefix.
pub fn both(ipv4: &str) -> [String; 2] {
    [ipv4.to_owned(), format!("1000::1:{ipv4}")]
}
