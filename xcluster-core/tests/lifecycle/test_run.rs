//! Tests that run on clusters: what they leave, and when they are skipped.

use std::cell::Cell;
use std::error::Error;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::FutureExt;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use xcluster_core::plan::{Options, Readiness};
use xcluster_core::test_run::{Keep, TestRun};
use xcluster_core::testing::{Behaviour, TestFailure, ensure};
use xcluster_core::{Builder, NodeState};

use crate::ownership_marks::MarkingBackend;
use crate::{Host, has, node, one_waits_for_the_boot_slot_of_another};

/// A test run whose artifacts are in a folder of the fixture, and that no variable of the environment changes.
fn test_run(host: &Host) -> Result<TestRun, TestFailure> {
    let run = TestRun::from_env()?.name("package::vms::ping").artifacts(host.path("artifacts"));
    Ok(run.keep(Keep::Failed).pause(None).require(true))
}

fn artifacts(host: &Host) -> PathBuf {
    host.path("artifacts/package.vms.ping")
}

fn read(host: &Host, name: &str) -> Result<String, TestFailure> {
    fs::read_to_string(artifacts(host).join(name)).map_err(|error| TestFailure::from(error).during(name))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn failed(outcome: Result<(), Box<dyn Error>>) -> Result<String, TestFailure> {
    let error = outcome.err().ok_or_else(|| TestFailure::new("the test did not fail"))?;
    Ok(format!("{error:?}"))
}

fn passed(outcome: Result<(), Box<dyn Error>>) -> Result<(), TestFailure> {
    outcome.map_err(|error| TestFailure::new(format!("the test failed: {error:?}")))
}

pub(crate) async fn a_test_that_fails_leaves_its_evidence() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let builder = host.cluster().ready_when(Readiness::Console(Behaviour::UP.to_owned()));
    let outcome = test_run(&host)?
        .run(builder.clone(), async |cluster| {
            ensure(cluster.nodes().len() == 3, || "not three nodes".to_owned())?;
            Err("vm-002 does not answer".into())
        })
        .await;
    ensure(failed(outcome)?.contains("vm-002 does not answer"), || "another error is returned".to_owned())?;
    let consoles = ["vm-001.console.txt", "vm-002.console.txt", "vm-201.console.txt"];
    let expected = [&["events.txt", "plan.txt", "result.txt"][..], &consoles].concat();
    ensure(names(&artifacts(&host)) == expected, || format!("{:?}", names(&artifacts(&host))))?;
    for console in consoles {
        has(&read(&host, console)?, Behaviour::UP)?;
    }
    has(&read(&host, "events.txt")?, " s  begin: start vm-001\n")?;
    has(&read(&host, "events.txt")?, " s  ready\n")?;
    has(&read(&host, "events.txt")?, " s  stopped\n")?;
    has(&read(&host, "plan.txt")?, "vm-201")?;
    has(&read(&host, "result.txt")?, "test package::vms::ping, cluster c")?;
    has(&read(&host, "result.txt")?, "failed: \"vm-002 does not answer\"\n")?;
    has(&read(&host, "result.txt")?, "vm-201: ready\n")?;
    host.is_as(&before)
}

pub(crate) async fn a_test_that_panics_leaves_its_evidence() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let builder = host.cluster();
    let run = test_run(&host)?.run(builder.clone(), async |_| panic!("no route to vm-002"));
    let panic = AssertUnwindSafe(run).catch_unwind().await.err();
    let text = panic.and_then(|panic| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
    has(&text, "no route to vm-002")?;
    has(&read(&host, "result.txt")?, "panicked: no route to vm-002\n")?;
    host.is_as(&before)
}

pub(crate) async fn a_start_that_fails_leaves_its_evidence() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let stderr = "fake-qemu: the disk is on fire".to_owned();
    host.qemu.behave(node(2), &Behaviour::Die { stderr, code: 3, after: Some(50) })?;
    let builder = host.cluster().ready_when(Readiness::Console("what nobody says".to_owned()));
    let runs = Cell::new(0);
    // There is nothing to look at in a pause.
    let run = test_run(&host)?.pause(Some(Duration::from_secs(600)));
    let outcome = run.run(builder.clone(), async |_| counted(&runs)).await;
    ensure(runs.get() == 0, || "the test was run".to_owned())?;
    has(&failed(outcome)?, "cannot start vm-002")?;
    has(&read(&host, "vm-002.qemu.txt")?, "the disk is on fire")?;
    has(&read(&host, "result.txt")?, "vm-002: failed: QEMU ended with code 3")?;
    has(&read(&host, "events.txt")?, "failed: start vm-002: ")?;
    host.is_as(&before)
}

pub(crate) async fn a_test_that_passes_leaves_nothing() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let builder = host.cluster();
    for (other, left) in [(None, false), (Some("notes.txt"), true)] {
        failed(test_run(&host)?.run(builder.clone(), async |_| Err("no".into())).await)?;
        if let Some(other) = other {
            fs::write(artifacts(&host).join(other), "mine")?;
        }
        passed(test_run(&host)?.run(builder.clone(), async |_| Ok(())).await)?;
        ensure(artifacts(&host).exists() == left, || format!("{:?}", names(&artifacts(&host))))?;
    }
    ensure(names(&artifacts(&host)) == ["notes.txt"], || format!("{:?}", names(&artifacts(&host))))?;
    host.is_as(&before)
}

pub(crate) async fn artifacts_of_a_test_that_passes_are_kept_on_demand() -> Result<(), TestFailure> {
    let host = Host::new()?;
    passed(test_run(&host)?.keep(Keep::Always).run(host.cluster(), async |_| Ok(())).await)?;
    has(&read(&host, "result.txt")?, ": passed\n")
}

pub(crate) async fn a_link_among_artifacts_is_not_followed() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let precious = host.path("precious");
    fs::create_dir(&precious)?;
    fs::write(precious.join("events.txt"), "precious")?;
    failed(test_run(&host)?.run(host.cluster(), async |_| Err("no".into())).await)?;
    fs::remove_file(artifacts(&host).join("events.txt"))?;
    symlink(precious.join("events.txt"), artifacts(&host).join("events.txt"))?;
    // Why the test failed is still its result, and the other files are written.
    has(&failed(test_run(&host)?.run(host.cluster(), async |_| Err("once more".into())).await)?, "once more")?;
    has(&read(&host, "result.txt")?, "once more")?;
    passed(test_run(&host)?.run(host.cluster(), async |_| Ok(())).await)?;
    ensure(fs::read_link(artifacts(&host).join("events.txt")).is_ok(), || "the link was removed".to_owned())?;

    fs::remove_dir_all(artifacts(&host))?;
    symlink(&precious, artifacts(&host))?;
    failed(test_run(&host)?.run(host.cluster(), async |_| Err("no".into())).await)?;
    ensure(names(&precious) == ["events.txt"], || format!("{:?}", names(&precious)))?;
    ensure(fs::read_to_string(precious.join("events.txt"))? == "precious", || "it was changed".to_owned())
}

pub(crate) async fn a_host_without_qemu_skips_a_test_or_fails_it() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let mut options = Options::default();
    options.qemu = "/no/such/qemu".into();
    let builder = host.cluster().options(options);
    skips_or_fails(&host, builder, "package::vms::ping: QEMU is not installed: `/no/such/qemu` was not found").await
}

pub(crate) async fn a_host_that_cannot_carry_the_backend_skips_a_test_or_fails_it() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let builder = host.cluster_on(MarkingBackend::in_folder(&host.path("marks")).unusable());
    skips_or_fails(&host, builder, "package::vms::ping: backend `marks` is not usable on this host: no marks here")
        .await
}

async fn skips_or_fails(host: &Host, builder: Builder, why: &str) -> Result<(), TestFailure> {
    let runs = Cell::new(0);
    passed(test_run(host)?.require(false).run(builder.clone(), async |_| counted(&runs)).await)?;
    let outcome = test_run(host)?.run(builder, async |_| counted(&runs)).await;
    ensure(runs.get() == 0, || "the test was run".to_owned())?;
    has(&failed(outcome)?, why)
}

fn counted(runs: &Cell<u32>) -> Result<(), Box<dyn Error>> {
    runs.set(runs.get() + 1);
    Ok(())
}

pub(crate) async fn a_stop_that_leaves_something_fails_the_test() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let run = test_run(&host)?.run(host.cluster(), async |_| {
        // What its backend cannot remove.
        let mark = host.path("marks/net1-vm-002");
        fs::remove_file(&mark)?;
        Ok(fs::create_dir(&mark)?)
    });
    has(&failed(run.await)?, "net1-vm-002")?;
    has(&read(&host, "result.txt")?, "passed, but the stop of its cluster failed: ")
}

pub(crate) async fn a_paused_test_goes_on_when_told() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let builder = host.cluster();
    let run = test_run(&host)?.pause(Some(Duration::from_secs(600)));
    let mut pid = 0;
    let paused = run.run(builder.clone(), async |cluster| {
        pid = cluster.node(1)?.status().await?.pid.ok_or("no process")?;
        Err("no".into())
    });
    let go_on = async {
        // Written before the pause begins.
        while !artifacts(&host).join("result.txt").exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let processes = format!("{:?}", host.look());
        fs::write(artifacts(&host).join("continue"), "")?;
        Ok::<_, TestFailure>(processes)
    };
    let (outcome, processes) = tokio::join!(paused, go_on);
    failed(outcome)?;
    has(&processes?, &format!("process {pid} "))?;
    host.is_as(&before)
}

/// Where the next test runs in another process, the limit of its pause, in seconds.
const LIMIT: &str = "LIFECYCLE_PAUSE";

pub(crate) async fn a_pause_has_a_limit() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let begun = Instant::now();
    let limit = std::env::var(LIMIT).unwrap_or_default().parse().unwrap_or(1);
    let run = test_run(&host)?.pause(Some(Duration::from_secs(limit)));
    failed(run.run(host.cluster(), async |_| Err("no".into())).await)?;
    ensure(begun.elapsed() > Duration::from_secs(1), || format!("it took {:?}", begun.elapsed()))
}

/// In another process, whose other tests do not pause.
pub(crate) async fn a_pause_ends_at_ctrl_c() -> Result<(), TestFailure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--exact", "a_pause_has_a_limit"]).env(LIMIT, "3600");
    let mut process = command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let stderr = process.stderr.take().ok_or_else(|| TestFailure::new("no standard error"))?;
    let mut lines = BufReader::new(stderr).lines();
    while !lines.next_line().await?.ok_or_else(|| TestFailure::new("it ended before"))?.starts_with("PAUSED") {}
    // That test takes a second at least.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let pid = process.id().ok_or_else(|| TestFailure::new("it ended before"))?;
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGINT)?;
    // Its pipe must not fill up.
    while lines.next_line().await?.is_some() {}
    let status = process.wait().await?;
    ensure(status.success(), || status.to_string())
}

pub(crate) async fn waiting_for_a_boot_slot_is_reported_apart() -> Result<(), TestFailure> {
    let (first, second) = (Host::new()?, Host::new()?);
    let (_holder, builder) = one_waits_for_the_boot_slot_of_another(&first, &second).await?;
    passed(test_run(&second)?.keep(Keep::Always).run(builder, async |_| Ok(())).await)?;
    let result = read(&second, "result.txt")?;
    let seconds =
        |before: &str, after: &str| -> Option<f64> { result.split_once(before)?.1.split_once(after)?.0.parse().ok() };
    let (own, waited) = (seconds("time: ", " s, and "), seconds(" s, and ", " s of waiting"));
    ensure(waited > Some(2.0) && own.is_some_and(|own| own < 2.0), || result.clone())?;
    has(&read(&second, "events.txt")?, "vm-001 has a boot slot after waiting 2.")
}

pub(crate) async fn a_test_without_a_runtime_is_the_same() -> Result<(), TestFailure> {
    let host = Host::new()?;
    let before = host.look();
    let (run, builder) = (test_run(&host)?, host.cluster());
    let outcome = run.run_blocking(builder, |cluster| {
        ensure(cluster.node(1)?.status()?.state == NodeState::Ready, || "it is not ready".to_owned())?;
        Err("no".into())
    });
    failed(outcome)?;
    has(&read(&host, "result.txt")?, "failed: \"no\"\n")?;
    host.is_as(&before)
}
