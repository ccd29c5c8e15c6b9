//! Why a test failed, as text. It has no kinds, since no caller treats failures differently.

use std::fmt;

use crate::error_chain::one_line;

/// Why a trial or a test failed.
pub struct TestFailure(String);

impl TestFailure {
    /// A failure with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The same, with a text before it that says what the test was doing.
    #[must_use]
    pub fn during(self, what: impl fmt::Display) -> Self {
        Self(format!("{what}: {}", self.0))
    }
}

/// Fails with a text unless a condition holds.
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

/// As it is displayed: `unwrap` shows this.
impl fmt::Debug for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text of an error and its causes. (This is why `TestFailure` cannot implement `Error` itself.)
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
