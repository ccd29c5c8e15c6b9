//! Scenarios with real VMs: a cluster is started, expectations are checked on it, it is stopped, and nothing may be left of it.
//! What is expected is for the tests of backends to say. An expectation that does not hold panics.

use std::any::Any;
use std::collections::BTreeSet;
use std::future::Future;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;

use crate::cluster::{Builder, Cluster, Error, Event, IntoNodeId, StartFailure};
use crate::error_chain::causes;
use crate::guest::exec::{Command, Output};
use crate::net::NetBackend;
use crate::plan::Step;

/// How long a scenario may take, from its start to its last expectation.
const DEADLINE: Duration = Duration::from_secs(300);

/// How much of the end of each console is shown when an expectation fails, in lines.
const CONSOLE_TAIL: usize = 20;

/// Starts a cluster, has expectations checked on it, stops it, and sees that nothing is left.
pub async fn scenario(builder: Builder, expectations: impl AsyncFnOnce(&Cluster)) {
    let (cluster, traces, ready) = begin(&builder).await;
    if let Err(error) = ready {
        panic!("{}", describe(&error));
    }
    let checked = AssertUnwindSafe(tokio::time::timeout(DEADLINE, expectations(&cluster))).catch_unwind().await;
    if !matches!(checked, Ok(Ok(()))) {
        show_consoles(&cluster).await;
    }
    cluster.stop().await.expect("nothing keeps the cluster from being stopped");
    traces.are_gone();
    match checked {
        Ok(in_time) => in_time.expect("the expectations are checked in time"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Starts a cluster that cannot come up, and sees that nothing is left of the attempt.
pub async fn failure(builder: Builder) -> Arc<StartFailure> {
    let (cluster, traces, ready) = begin(&builder).await;
    let Err(Error::Start(failure)) = ready else { panic!("it should have failed to start: {ready:?}") };
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

    /// Follows what happens to a cluster up to some event, and notes each process that is begun.
    pub async fn watch(&mut self, cluster: &Cluster, last: impl Fn(&Event) -> bool) {
        let mut events = cluster.events();
        while let Some(event) = events.next().await {
            if boots(&event) {
                let status = cluster.status().await.expect("the cluster has not ended");
                self.qemus.extend(status.nodes.iter().filter_map(|node| node.pid));
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

    /// The QEMUs that still run, or that nobody has reaped.
    pub fn alive(&self) -> Vec<u32> {
        self.qemus.iter().copied().filter(|pid| Path::new(&format!("/proc/{pid}")).exists()).collect()
    }
}

/// Whether a node's QEMU has just been started.
pub fn boots(event: &Event) -> bool {
    matches!(event, Event::Begin { step: Step::Boot { .. } })
}

/// Starts a cluster and waits for what comes of it, noting every process that is begun.
pub async fn begin(builder: &Builder) -> (Cluster, Traces, Result<(), Error>) {
    need("qemu-system-x86_64");
    let cluster = Cluster::begin(builder).unwrap_or_else(|error| panic!("{}", describe(&error)));
    let mut traces = Traces::new(cluster.folder(), []);
    traces.watch(&cluster, |event| matches!(event, Event::Ready | Event::Failed { .. })).await;
    let outcome = cluster.ready().await;
    (cluster, traces, outcome)
}

/// Runs a command on a node and gives what it printed. It must succeed.
pub async fn run(cluster: &Cluster, node: impl IntoNodeId, command: impl Into<Command>) -> String {
    let output = attempt(cluster, node, command).await;
    match output.ok() {
        Ok(output) => output.text().into_owned(),
        Err(error) => panic!("{error}"),
    }
}

/// Runs a command on a node that may fail there.
pub async fn attempt(cluster: &Cluster, node: impl IntoNodeId, command: impl Into<Command>) -> Output {
    let node = cluster.node(node).expect("the scenario has this node");
    let output = node.exec(command.into().timeout(Duration::from_secs(60))).await;
    output.unwrap_or_else(|error| panic!("{}", describe(&error)))
}

/// What has been found out about expectations.
#[derive(Debug, Default)]
pub struct Report {
    /// Those that do not hold, and why.
    failed: Vec<(&'static str, String)>,
}

impl Report {
    /// Checks an expectation; one that does not hold does not keep the others from being checked.
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
        let describe: Vec<String> = self.failed.iter().map(|(name, why)| format!("{name}: {why}")).collect();
        assert!(describe.is_empty(), "these expectations do not hold:\n{}", describe.join("\n"));
    }
}

/// What a panic says.
fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
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

/// Panics if a program of this host is missing, and says so past the test harness, which shows no output of tests that
/// pass: real VMs are what these tests are about, so a host without them has not tested anything.
pub fn need(program: &str) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join(program).is_file()) {
        let _ = writeln!(std::io::stderr(), "`{program}` is not installed: `make test` would have done that");
        panic!("`{program}` is not installed");
    }
}

/// Whether this host can carry a backend. If not, a line on standard error says so; where tests must not be skipped (`CI` is
/// set) this panics instead.
pub fn is_usable(backend: &dyn NetBackend) -> bool {
    let usable = backend.usable();
    if let Err(error) = &usable {
        assert!(std::env::var_os("CI").is_none(), "{error}");
        eprintln!("not tested: this host cannot carry the backend `{}`: {error}", backend.name());
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

/// An error with its causes, and all else that tells why a start failed.
pub fn describe(error: &Error) -> String {
    let chain: Vec<String> = causes(error).map(ToString::to_string).collect();
    let mut text = chain.join("\n  caused by: ");
    if let Error::Start(failure) = error {
        for panic_text in [&failure.console, &failure.stderr].into_iter().flatten() {
            text.push('\n');
            text.push_str(panic_text);
        }
    }
    text
}

async fn show_consoles(cluster: &Cluster) {
    for node in cluster.nodes() {
        let text = node.console_text().await.unwrap_or_else(|error| error.to_string());
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(CONSOLE_TAIL);
        eprintln!("---- the end of {}'s console\n{}", node.name(), lines[from..].join("\n"));
    }
}
