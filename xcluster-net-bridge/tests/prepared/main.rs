//! Prepared namespaces, made and removed for real: by an ordinary user who is root in a user namespace, with a network and
//! mounts of its own. "The host" is such a network here; that of the machine is never touched.

mod access;
mod conflicts;
mod fixture;
mod lifecycle;
mod settings;

use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use xcluster_core::test_run::skip;
use xcluster_core::testing::TestFailure;

use fixture::Fixture;

/// Far more than any test takes, also on a busy host.
const DEADLINE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    // Before anything else: this process must not have a second thread yet.
    let possible = fixture::become_root();
    // Tests that must not be skipped run, and fail for the same reason.
    let ignored = possible.is_err_and(|why| skip("all tests of prepared namespaces", why).is_ok());
    let trials = [
        trial("a_host_is_afterwards_as_before", lifecycle::a_host_is_afterwards_as_before),
        trial("a_second_call_makes_only_what_is_missing", lifecycle::a_second_call_makes_only_what_is_missing),
        trial("a_namespace_that_was_taken_away_is_made_anew", lifecycle::a_namespace_that_was_taken_away_is_made_anew),
        trial("a_failed_attempt_leaves_nothing", lifecycle::a_failed_attempt_leaves_nothing),
        trial("two_at_the_same_time_take_turns", lifecycle::two_at_the_same_time_take_turns),
        trial("who_is_still_inside_is_told", lifecycle::who_is_still_inside_is_reported),
        trial(
            "everything_in_the_way_is_told_and_left_alone",
            conflicts::everything_in_the_way_is_reported_and_left_alone,
        ),
        trial("a_number_is_one_users", conflicts::a_number_is_one_users),
        trial("what_was_said_once_is_not_changed_by_the_way", conflicts::what_was_said_once_is_not_changed_by_the_way),
        trial("only_the_last_one_gives_settings_back", settings::only_the_last_one_gives_settings_back),
        trial("what_others_have_set_stays", settings::what_others_have_set_stays),
        trial("an_advertised_default_route_survives", settings::an_advertised_default_route_survives),
        trial("nodes_reach_the_world_with_the_hosts_address", access::nodes_reach_the_world_with_the_hosts_address),
        trial("firewalls_of_others_let_nodes_out", access::firewalls_of_others_let_nodes_out),
        trial("its_user_enters_it_without_any_privilege", access::its_user_enters_it_without_any_privilege),
    ];
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(ignored)).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test with a host of its own, which is gone with the test's thread.
fn trial(name: &str, test: impl AsyncFnOnce(&Fixture) -> Result<(), TestFailure> + Send + 'static) -> Trial {
    let run = move || -> Result<(), TestFailure> {
        let fixture = Fixture::new()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let late = |_| TestFailure::new(format!("it took longer than {} s", DEADLINE.as_secs()));
        runtime.block_on(async { tokio::time::timeout(DEADLINE, test(&fixture)).await.map_err(late)? })
    };
    Trial::test(name, move || {
        let done = std::thread::spawn(run).join();
        Ok(done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)
    })
}
