//! A `main` for tests that touch the network: each test has its own thread, network namespace, runtime and deadline, so that all
//! of them can use the same numbers at the same time.
//!
//! For a test target with `harness = false`:
//!
//! ```no_run
//! use xcluster_core::testing::{TestFailure, ensure};
//!
//! xcluster_core::harness![one_and_one_is_two];
//!
//! async fn one_and_one_is_two() -> Result<(), TestFailure> {
//!     ensure(1 + 1 == 2, || "it is not".to_owned())
//! }
//! ```
//!
//! On a host that gives no namespaces to ordinary users, the tests are ignored or fail:
//! [`test_run::skip`](crate::test_run::skip) decides.

use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use tokio::task::LocalSet;

use super::{TestFailure, netns};
use crate::test_run::skip;

/// A `main` for tests that are functions of a test target: [`testing::harness`](crate::testing::harness).
#[macro_export]
macro_rules! harness {
    ($($name:ident),* $(,)?) => {
        fn main() -> ::std::process::ExitCode {
            $crate::testing::harness::main(::std::vec![
                $($crate::testing::harness::test(::std::stringify!($name), $name)),*
            ])
        }
    };
}

/// How long a test may take. No test needs nearly as long, also on a host that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(180);

/// A test with a name.
pub struct Test {
    name: String,
    run: Box<dyn FnOnce() -> Result<(), TestFailure> + Send>,
}

impl fmt::Debug for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Test").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A test that runs a future.
pub fn test<F>(name: impl Into<String>, test: impl FnOnce() -> F + Send + 'static) -> Test
where
    F: Future<Output = Result<(), TestFailure>>,
{
    Test { name: name.into(), run: Box::new(move || run(test)) }
}

/// Runs those tests that the arguments select. The arguments are the usual ones of cargo and nextest.
pub fn main(tests: Vec<Test>) -> ExitCode {
    main_with(|| tests)
}

/// The same for tests that are known only after a step that may start threads, such as loading a plugin.
pub fn main_with(tests: impl FnOnce() -> Vec<Test>) -> ExitCode {
    // First of all: this process must not have a second thread yet.
    let allowed = netns::allow();
    let arguments = Arguments::from_args();
    // Tests that must not be skipped run, and fail for the same reason.
    let ignored = allowed.is_err_and(|error| {
        skip("all tests of this program", format!("this host gives no network namespaces to this user: {error}"))
            .is_ok()
    });
    let trials = tests().into_iter().map(|Test { name, run }| {
        let thread = std::thread::Builder::new().name(name.clone());
        let on_a_thread = move || match thread.spawn(run)?.join() {
            Ok(outcome) => Ok(outcome?),
            Err(panic) => std::panic::resume_unwind(panic),
        };
        Trial::test(name, on_a_thread).with_ignored_flag(ignored)
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn run<F: Future<Output = Result<(), TestFailure>>>(test: impl FnOnce() -> F) -> Result<(), TestFailure> {
    netns::enter_fresh().map_err(|error| TestFailure::from(error).during("cannot enter a network namespace"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let late = |_| TestFailure::new(format!("timed out after {} s", DEADLINE.as_secs()));
    LocalSet::new().block_on(&runtime, async { tokio::time::timeout(DEADLINE, test()).await.map_err(late)? })
}
