//! An error and its causes, as text.

use std::error::Error;

/// The error, then its causes.
pub(crate) fn causes(error: &dyn Error) -> impl Iterator<Item = &dyn Error> {
    std::iter::successors(Some(error), |&error| error.source().map(|cause| cause as _))
}

/// The error and its causes on one line.
pub(crate) fn one_line(error: &dyn Error) -> String {
    causes(error).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
