//! Whether a test is skipped or fails on a host that lacks what it needs: one decision for all tests.

use std::env;
use std::fmt;
use std::io::Write;

/// A test must not be skipped on this host. The text says which test, and what the host lacks.
#[derive(thiserror::Error)]
#[error("{0}")]
pub struct SkipForbidden(String);

/// As it is displayed: this is what a test prints that returns it.
impl fmt::Debug for SkipForbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether tests must not be skipped: `XCLUSTER_REQUIRE` is set and not `0`, or it is not set and `CI` is.
pub fn is_required() -> bool {
    match env::var_os("XCLUSTER_REQUIRE") {
        Some(value) => is_on(&value),
        None => env::var_os("CI").is_some_and(|value| is_on(&value)),
    }
}

/// Whether a variable's value turns something on: anything but nothing, `0` and `false`.
pub(super) fn is_on(value: &std::ffi::OsStr) -> bool {
    !value.is_empty() && value != "0" && value != "false"
}

/// Skips a test, or several, on a host that lacks something: a line on standard error says so. The caller then returns.
///
/// # Errors
/// Tests [must not be skipped](is_required).
pub fn skip(test: &str, lacking: impl fmt::Display) -> Result<(), SkipForbidden> {
    decide(is_required(), test, &lacking)
}

pub(super) fn decide(required: bool, test: &str, lacking: &dyn fmt::Display) -> Result<(), SkipForbidden> {
    if required {
        return Err(SkipForbidden(format!("{test}: {lacking}")));
    }
    // Not by a macro, whose output the test harness hides for tests that pass.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {lacking}; XCLUSTER_REQUIRE=1 makes this a failure");
    Ok(())
}
