//! Tests on clusters of real VMs: one call starts a cluster, runs the test on it, stops it, and keeps the evidence of a
//! failure.
//!
//! ```no_run
//! use xcluster_core::Cluster;
//! # fn backend() -> impl xcluster_core::net::NetBackend + 'static { xcluster_core::external::ScriptBackend::new(xcluster_core::external::ScriptConfig::new("x")) }
//!
//! # async fn demo() -> Result<(), Box<dyn std::error::Error>> {
//! // The body of a `#[tokio::test]`, or of a test in any other runtime.
//! Cluster::test(Cluster::builder().backend(backend()).nodes(2), async |cluster| {
//!     cluster.node(1)?.exec("ping -c1 192.168.1.2").await?.ok()?;
//!     Ok(())
//! })
//! .await
//! # }
//!
//! # fn blocking_demo() -> Result<(), Box<dyn std::error::Error>> {
//! // The body of a plain `#[test]`.
//! xcluster_core::blocking::Cluster::test(Cluster::builder().backend(backend()).nodes(2), |cluster| {
//!     cluster.node(1)?.exec("ping -c1 192.168.1.2")?.ok()?;
//!     Ok(())
//! })
//! # }
//! ```
//!
//! The test fails if the cluster does not start, if the closure returns an error or panics, or if the stop leaves something.
//! Then the end of each console, QEMU's messages, the events with their times and the plan are printed, and kept as
//! *artifacts* in a folder of the test's name. Environment variables decide the rest:
//!
//! | Variable | Meaning | Default |
//! |---|---|---|
//! | `XCLUSTER_ARTIFACTS` | the folder that has a folder for each test | `xcluster` in cargo's target folder |
//! | `XCLUSTER_KEEP` | whose artifacts are kept: `failed` or `always` | `failed` |
//! | `XCLUSTER_PAUSE` | `1`: a test that failed waits before its cluster is stopped, one hour at most | |
//! | `XCLUSTER_REQUIRE` | `1`: a test fails on a host that cannot run its VMs; `0`: it is skipped | `1` if `CI` is set |
//!
//! [`TestRun`] is the same with these settings in code.

mod artifacts;
mod evidence;
mod pause;
mod settings;
mod skip;

use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::executor::block_on;

use crate::blocking;
use crate::cluster::{self, Builder, Cluster};
use crate::host::Netns;
use crate::qemu::process::find_program;

use artifacts::Artifacts;
use evidence::{Evidence, Recorder};

pub use settings::{Keep, SettingsError};
pub use skip::{SkipForbidden, is_required, skip};

/// The result of a test on a cluster. The error is a box, since a closure with `?` in it must have one error type: a generic one
/// could not be inferred, and this takes every error, a text with `?` or `into`, and the result of a helper function.
pub type TestResult = Result<(), Box<dyn Error>>;

impl Cluster {
    /// Starts a cluster, waits until it is ready, runs a test on it, and stops it. Environment variables set where the evidence
    /// of a failure is kept, and whether a host that cannot run VMs is a failure: see [`test_run`](crate::test_run).
    ///
    /// The test gives no value: on a host where it is skipped there would be none. Use a variable that the closure borrows.
    ///
    /// # Errors
    /// The cluster did not start, the test returned an error, or something was left when the cluster was stopped.
    ///
    /// # Panics
    /// The test panicked; the cluster was stopped before.
    pub async fn test(builder: Builder, test: impl AsyncFnOnce(&Self) -> TestResult) -> TestResult {
        TestRun::from_env()?.run(builder, test).await
    }
}

impl blocking::Cluster {
    /// [`Cluster::test`] for a plain `#[test]`.
    ///
    /// # Errors
    /// As [`Cluster::test`].
    ///
    /// # Panics
    /// As [`Cluster::test`].
    pub fn test(builder: Builder, test: impl FnOnce(&Self) -> TestResult) -> TestResult {
        TestRun::from_env()?.run_blocking(builder, test)
    }
}

/// How a test on a cluster is run: [`Cluster::test`] with settings of the caller.
#[derive(Debug, Clone)]
#[must_use = "it runs nothing by itself"]
pub struct TestRun {
    name: String,
    artifacts: PathBuf,
    keep: Keep,
    pause: Option<Duration>,
    required: bool,
}

impl TestRun {
    /// Sets the test's name, which is also the name of the artifacts' folder once it is made safe for a path. By default it
    /// consists of the package, the test program and the name of the current thread, which the test harness sets.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the folder that gets a folder for each test. It must belong to this user, and no other may write to it.
    pub fn artifacts(mut self, folder: impl Into<PathBuf>) -> Self {
        self.artifacts = folder.into();
        self
    }

    /// Sets whose artifacts are kept.
    pub const fn keep(mut self, keep: Keep) -> Self {
        self.keep = keep;
        self
    }

    /// Has a test that failed wait so long before its cluster is stopped, or until the file `continue` is in the artifacts'
    /// folder, or until Ctrl-C.
    pub const fn pause(mut self, limit: Option<Duration>) -> Self {
        self.pause = limit;
        self
    }

    /// Sets whether a host that cannot run VMs is a failure; else the test is skipped with a line on standard error.
    pub const fn require(mut self, required: bool) -> Self {
        self.required = required;
        self
    }

    /// The folder that the artifacts of this test are kept in.
    pub fn artifacts_folder(&self) -> PathBuf {
        Artifacts::new(&self.artifacts, &self.name).path()
    }

    /// Runs a test as [`Cluster::test`] does.
    ///
    /// # Errors
    /// As [`Cluster::test`].
    ///
    /// # Panics
    /// As [`Cluster::test`].
    pub async fn run(self, builder: Builder, test: impl AsyncFnOnce(&Cluster) -> TestResult) -> TestResult {
        let Some(started) = self.begin(&builder)? else { return Ok(()) };
        let outcome = match started.cluster.ready().await {
            Ok(()) => Outcome::of(AssertUnwindSafe(test(&started.cluster)).catch_unwind().await),
            Err(error) => Outcome::NotStarted(error),
        };
        started.end(outcome).await
    }

    /// Runs a test as [`blocking::Cluster::test`] does.
    ///
    /// # Errors
    /// As [`Cluster::test`].
    ///
    /// # Panics
    /// As [`Cluster::test`].
    pub fn run_blocking(self, builder: Builder, test: impl FnOnce(&blocking::Cluster) -> TestResult) -> TestResult {
        let Some(started) = self.begin(&builder)? else { return Ok(()) };
        let Started { run, cluster, recorder } = started;
        let cluster = blocking::Cluster::from(cluster);
        let outcome = match cluster.ready() {
            Ok(()) => Outcome::of(catch_unwind(AssertUnwindSafe(|| test(&cluster)))),
            Err(error) => Outcome::NotStarted(error),
        };
        block_on(Started { run, cluster: cluster.into(), recorder }.end(outcome))
    }

    /// Begins to start the cluster; none if the test is skipped.
    fn begin(self, builder: &Builder) -> Result<Option<Started>, Box<dyn Error>> {
        if let Some(lacking) = lacking(builder) {
            skip::decide(self.required, &self.name, &lacking)?;
            return Ok(None);
        }
        // What an earlier run left would be taken for evidence of this one.
        if let Err(error) = Artifacts::new(&self.artifacts, &self.name).clear() {
            eprintln!("{error}");
        }
        let cluster = Cluster::begin(builder)?;
        let recorder = Recorder::start(cluster.events())?;
        Ok(Some(Started { run: self, cluster, recorder }))
    }
}

/// What this host lacks for the VMs of a cluster. A mistake of the builder is none: the start reports it.
fn lacking(builder: &Builder) -> Option<String> {
    let plan = builder.plan().ok()?;
    let qemu = &plan.options.qemu;
    if find_program(qemu).is_none() {
        return Some(format!("QEMU is not installed: `{}` was not found", qemu.display()));
    }
    // A backend answers for a private namespace. Another one may have what this host does not give to users.
    if !matches!(plan.netns, None | Some(Netns::Private)) {
        return None;
    }
    let backends = builder.registry().ok()?;
    plan.nets.iter().find_map(|planned| {
        let error = backends.find(&planned.backend).ok()?.usable().err()?;
        let remedy = error.remedy().map(|remedy| format!(" (`{remedy}` helps)")).unwrap_or_default();
        Some(format!("backend `{}` is not usable on this host: {error}{remedy}", planned.backend))
    })
}

/// How a test ended, before its cluster was stopped.
enum Outcome {
    Passed,
    NotStarted(cluster::Error),
    Failed(Box<dyn Error>),
    Panicked(Box<dyn Any + Send>),
}

impl Outcome {
    fn of(ended: Result<TestResult, Box<dyn Any + Send>>) -> Self {
        match ended {
            Ok(Ok(())) => Self::Passed,
            Ok(Err(error)) => Self::Failed(error),
            Err(panic) => Self::Panicked(panic),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Passed => "passed".to_owned(),
            Self::NotStarted(error) => format!("the cluster did not start: {error:?}"),
            Self::Failed(error) => format!("failed: {error:?}"),
            Self::Panicked(panic) => format!("panicked: {}", panic_text(&**panic)),
        }
    }
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// A test whose cluster was begun.
struct Started {
    run: TestRun,
    cluster: Cluster,
    recorder: Recorder,
}

impl Started {
    /// Stops the cluster, and prints and keeps what the outcome demands.
    async fn end(self, outcome: Outcome) -> TestResult {
        let Self { run, cluster, recorder } = self;
        let artifacts = Artifacts::new(&run.artifacts, &run.name);
        // A node's console ends with the cluster.
        let mut evidence = Evidence::collect(&run.name, &cluster, &recorder, outcome.text()).await;
        let mut paused = Duration::ZERO;
        if !matches!(outcome, Outcome::Passed) {
            // Now, since the pause needs the folder, and since a test runner may kill this process while it stops.
            keep(&artifacts, &evidence);
            if let Some(limit) = run.pause
                && !matches!(outcome, Outcome::NotStarted(_))
            {
                let begun = Instant::now();
                pause::pause(&run.name, &cluster, &artifacts.path(), limit).await;
                paused = begun.elapsed();
            }
        }
        let stopped = cluster.stop().await;
        recorder.finish(&mut evidence, paused);
        let outcome = match (outcome, stopped) {
            (outcome, Ok(())) => outcome,
            (Outcome::Passed, Err(error)) => {
                evidence.outcome = format!("passed, but the stop of its cluster failed: {error:?}");
                Outcome::Failed(error.into())
            }
            (outcome, Err(error)) => {
                evidence.outcome += &format!("\nthe stop of its cluster failed as well: {error:?}");
                outcome
            }
        };
        let passed = matches!(outcome, Outcome::Passed);
        let kept = (!passed || run.keep == Keep::Always) && keep(&artifacts, &evidence);
        // Captured by the test harness, and shown with the other output of a test that failed.
        if passed {
            eprintln!("test {}: {}", run.name, evidence.times());
        } else {
            eprintln!("{}", evidence.report(kept.then(|| artifacts.path()).as_deref()));
        }
        match outcome {
            Outcome::Passed => Ok(()),
            Outcome::NotStarted(error) => Err(error.into()),
            Outcome::Failed(error) => Err(error),
            Outcome::Panicked(panic) => resume_unwind(panic),
        }
    }
}

/// Writes the artifacts. Why one was not written is printed: that must not hide why the test failed.
fn keep(artifacts: &Artifacts, evidence: &Evidence) -> bool {
    let written = artifacts.write(&evidence.files());
    if let Err(error) = &written {
        eprintln!("{error}");
    }
    written.is_ok()
}
