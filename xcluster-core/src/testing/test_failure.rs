//! Why a test did not pass, for people. Knows of no kinds: nobody treats one failure differently from another.

use std::fmt;

use crate::error_chain::one_line;

/// Why a trial or a test did not pass.
pub struct TestFailure(String);

impl TestFailure {
    /// A failure with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same, with what was being done before it.
    #[must_use]
    pub fn during(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

/// Fails with a text unless something holds.
///
/// # Errors
/// It does not hold.
pub fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), TestFailure> {
    if holds { Ok(()) } else { Err(TestFailure(otherwise())) }
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// As it is displayed: this is what `unwrap` shows.
impl fmt::Debug for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The whole chain of an error. (`TestFailure` is for that reason no error itself.)
impl<E: std::error::Error> From<E> for TestFailure {
    fn from(error: E) -> Self {
        Self(one_line(&error))
    }
}

/// For tests whose error is a box.
impl From<TestFailure> for Box<dyn std::error::Error> {
    fn from(failure: TestFailure) -> Self {
        failure.0.into()
    }
}
