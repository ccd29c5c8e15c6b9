//! An error and its causes, as text. Public for the backends' crates; not a part of the API.

use std::error::Error;
use std::fmt;

/// Returns the error, then its causes.
pub(crate) fn causes(error: &dyn Error) -> impl Iterator<Item = &dyn Error> {
    std::iter::successors(Some(error), |&error| error.source().map(|cause| cause as _))
}

/// Writes the error and its causes, one per line.
pub fn with_causes(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    causes(error).skip(1).try_for_each(|cause| write!(f, "\n  caused by: {cause}"))
}

/// Implements `Debug` of an error with [`with_causes`]: a test that ends with `?` or `unwrap` prints the `Debug` form, and
/// its reader needs the message, not the fields.
#[doc(hidden)]
#[macro_export]
macro_rules! readable_debug {
    ($($error:ty),+) => {$(
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::error_chain::with_causes(self, f)
            }
        }
    )+};
}

pub use crate::readable_debug;

/// Returns the error and its causes on one line.
pub fn one_line(error: &dyn Error) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
