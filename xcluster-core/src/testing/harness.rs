//! A `main` for tests that touch the network: each has a network namespace, a runtime and a deadline of its own, so that
//! all of them may use the same numbers at the same time. Says nothing of what is tested.
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
//! Where namespaces cannot be had without privilege, the tests are ignored, which is said; with `CI` in the environment
//! they fail.

use std::fmt;
use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use tokio::task::LocalSet;

use super::{TestFailure, netns};

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

/// How long a test may take. It is far more than any needs, also on a host that is busy with other tests.
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

/// A test that is done when the future is.
pub fn test<F>(name: impl Into<String>, test: impl FnOnce() -> F + Send + 'static) -> Test
where
    F: Future<Output = Result<(), TestFailure>>,
{
    Test { name: name.into(), run: Box::new(move || run(test)) }
}

/// Runs tests as cargo and nextest want it: they choose by the usual arguments.
pub fn main(tests: Vec<Test>) -> ExitCode {
    main_with(|| tests)
}

/// The same for tests that are not known before something has been done that may begin threads, such as loading a plugin.
pub fn main_with(tests: impl FnOnce() -> Vec<Test>) -> ExitCode {
    // Before anything else: this process must not have a second thread yet.
    let allowed = netns::allow();
    let arguments = Arguments::from_args();
    let ignored = match &allowed {
        Err(error) if std::env::var_os("CI").is_none() => {
            note(&format!("tests are ignored: this host gives no network namespaces to this user: {error}"));
            true
        }
        _ => false,
    };
    let trials =
        tests().into_iter().map(|Test { name, run }| Trial::test(name, move || Ok(run()?)).with_ignored_flag(ignored));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

#[expect(clippy::print_stderr, reason = "a skip is loud, and this is a test's `main`")]
fn note(text: &str) {
    eprintln!("{text}");
}

fn run<F: Future<Output = Result<(), TestFailure>>>(test: impl FnOnce() -> F) -> Result<(), TestFailure> {
    netns::enter_fresh().map_err(|error| TestFailure::from(error).during("cannot enter a network namespace"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let late = |_| TestFailure::new(format!("it took longer than {} s", DEADLINE.as_secs()));
    LocalSet::new().block_on(&runtime, async { tokio::time::timeout(DEADLINE, test()).await.map_err(late)? })
}
