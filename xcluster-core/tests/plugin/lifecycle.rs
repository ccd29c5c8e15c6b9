//! The order and the deadlines of calls, and the ends of clusters and instances.

use std::env;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use xcluster_core::net::{NetBackend, NetError};
use xcluster_core::testing::harness::Test;
use xcluster_core::testing::{TestContext, TestFailure, ensure};

use super::fixture::{Fixture, SOON, error_text, faulty, load, port, set_up};
use super::named;

pub(crate) fn tests() -> Vec<Test> {
    named![
        calls_for_different_nodes_come_at_the_same_time,
        a_call_that_hangs_fails_and_the_others_go_on,
        after_too_many_hanging_calls_no_more_are_made,
        the_teardown_of_a_late_setup_comes_after_it,
        a_cancelled_setup_is_not_torn_down_while_it_runs,
        the_end_of_a_cluster_is_reported_once,
        an_instance_that_does_not_end_is_left,
        a_process_ends_whatever_hangs_in_it,
    ]
}

/// The deadline of a call that hangs, where other calls return.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The deadline where all calls hang.
const IMPATIENT: Duration = Duration::from_millis(200);
/// Set for the program in which a call hangs when it ends.
const HANGING: &str = "XCLUSTER_TEST_PLUGIN_HANGING";

fn refused<T>(result: Result<T, NetError>, expected: &str) -> Result<(), TestFailure> {
    let said = result.err().map(|error| error_text(&error)).unwrap_or_default();
    ensure(said.contains(expected), || format!("`{expected}` is expected, and it says: {said}"))
}

async fn calls_for_different_nodes_come_at_the_same_time() -> Result<(), TestFailure> {
    // Each setup waits until there are two.
    let fixture = Fixture::new(&["-DMEETS"])?;
    let (one, two) = (port(1), port(2));
    let context = fixture.test_context.context();
    fixture.backend.create_net(&context, &one.net).await?;
    futures::try_join!(fixture.backend.setup(&context, &one), fixture.backend.setup(&context, &two))?;
    Ok(())
}

async fn a_call_that_hangs_fails_and_the_others_go_on() -> Result<(), TestFailure> {
    let fixture = Fixture::within(TIMEOUT, &["-DHANGS_IN=\"create_net\""])?;
    refused(
        fixture.set_up(&port(3)).await,
        "plugin `faulty` did not answer `create_net` within 2 s; it has been left to itself",
    )?;
    Ok(fixture.backend.usable()?)
}

async fn after_too_many_hanging_calls_no_more_are_made() -> Result<(), TestFailure> {
    let fixture = Fixture::within(IMPATIENT, &["-DHANGS_IN=\"setup\""])?;
    let (context, net) = (fixture.test_context.context(), port(1).net);
    fixture.backend.create_net(&context, &net).await?;
    for node in 1..=3 {
        refused(fixture.backend.setup(&context, &port(node)).await, "did not answer `setup` within 0.2 s")?;
    }
    let begun = Instant::now();
    let expected = "was not asked for `setup`: too many earlier calls still hang in it";
    refused(fixture.backend.setup(&context, &port(4)).await, expected)?;
    refused(fixture.backend.teardown(&context, &port(4)).await, "was not asked for `teardown`")?;
    ensure(begun.elapsed() < SOON, || "it took long to be refused".to_owned())
}

async fn the_teardown_of_a_late_setup_comes_after_it() -> Result<(), TestFailure> {
    let fixture = Fixture::within(TIMEOUT, &["-DWAITS"])?;
    let port = port(3);
    refused(fixture.set_up(&port).await, "did not answer `setup` within 2 s")?;
    let too_early = "was not asked for `teardown`: an earlier call about the same port or net did not end within 2 s";
    refused(fixture.backend.teardown(&fixture.test_context.context(), &port).await, too_early)?;
    // Releases the setup.
    fixture.backend.usable()?;
    fixture.backend.teardown(&fixture.test_context.context(), &port).await?;
    Ok(fixture.backend.delete_net(&fixture.test_context.context(), &port.net).await?)
}

async fn a_cancelled_setup_is_not_torn_down_while_it_runs() -> Result<(), TestFailure> {
    let fixture = Fixture::within(TIMEOUT, &["-DWAITS"])?;
    let port = port(3);
    // Usually long enough for the call to begin; if it has not, the teardown has nothing to wait for.
    let called_off = tokio::time::timeout(IMPATIENT, fixture.set_up(&port)).await;
    ensure(called_off.is_err(), || "it did not wait".to_owned())?;
    fixture.backend.usable()?;
    fixture.backend.teardown(&fixture.test_context.context(), &port).await?;
    Ok(fixture.backend.delete_net(&fixture.test_context.context(), &port.net).await?)
}

async fn the_end_of_a_cluster_is_reported_once() -> Result<(), TestFailure> {
    let fixture = Fixture::new(&[])?;
    fixture.set_up(&port(3)).await?;
    let ended = async |test_context: &TestContext| {
        let port_config = set_up(&fixture.backend, &test_context.context(), &port(3)).await?;
        Ok::<_, TestFailure>(port_config.kvm.to_string())
    };
    let (two, three) = (TestContext::new("two")?, TestContext::new("three")?);
    ensure(ended(&two).await?.contains("ended=0,"), || "one has ended".to_owned())?;
    drop(two);
    ensure(ended(&three).await?.contains("ended=1,"), || "not one has ended".to_owned())?;
    // A plugin that had no call about a cluster is not told of its end.
    drop(TestContext::new("four")?);
    ensure(ended(&three).await?.contains("ended=1,"), || "not one has ended".to_owned())
}

async fn an_instance_that_does_not_end_is_left() -> Result<(), TestFailure> {
    let fixture = Fixture::new(&["-DHANGS_IN_DESTROY"])?;
    let begun = Instant::now();
    drop(fixture);
    ensure(begun.elapsed() < SOON, || "it was waited for".to_owned())
}

/// In another process, which ends while its threads hang.
async fn a_process_ends_whatever_hangs_in_it() -> Result<(), TestFailure> {
    for (flag, expected) in [
        ("-DHANGS_IN=\"usable\"", "plugin `faulty` did not answer `usable` within 0.2 s"),
        ("-DHANGS_WHEN_ASKED", "plugin.so` did not answer `xcluster_plugin` within 0.2 s"),
    ] {
        let (_folder, library) = faulty(&[flag])?;
        let mut command = tokio::process::Command::new(env::current_exe()?);
        command.env(HANGING, library).kill_on_drop(true);
        let ended = tokio::time::timeout(SOON, command.output()).await;
        let output = ended.map_err(|_| TestFailure::new(format!("{flag}: it does not end")))??;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure(output.status.code() == Some(7) && said.contains(expected), || format!("{}: {said}", output.status))?;
    }
    Ok(())
}

/// The program in which something hangs, if this is it. It prints what hangs, and ends.
#[expect(clippy::print_stdout, reason = "what it says is what is tested")]
pub(crate) fn hanging() -> Option<ExitCode> {
    let library = env::var_os(HANGING)?;
    match load(library.as_ref(), IMPATIENT) {
        Ok(plugin) => println!("{}", plugin.usable().err().map(|error| error_text(&error)).unwrap_or_default()),
        Err(error) => println!("{}", error_text(&error)),
    }
    Some(ExitCode::from(7))
}
