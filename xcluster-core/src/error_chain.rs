//! An error and its causes, as text.

use std::error::Error;
use std::fmt;

/// The error, then its causes.
pub(crate) fn causes(error: &dyn Error) -> impl Iterator<Item = &dyn Error> {
    std::iter::successors(Some(error), |&error| error.source().map(|cause| cause as _))
}

/// The error and its causes on one line.
pub(crate) fn one_line(error: &dyn Error) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// The debug form of an error: the error, then its causes, a line each. A test that ends with `?` prints it.
pub(crate) fn debug(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{error}")?;
    causes(error).skip(1).try_for_each(|cause| write!(f, "\n  caused by: {cause}"))
}

/// Gives errors this debug form.
macro_rules! readable_debug {
    ($($error:ty),+) => {$(
        impl std::fmt::Debug for $error {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::error_chain::debug(self, f)
            }
        }
    )+};
}
pub(crate) use readable_debug;
