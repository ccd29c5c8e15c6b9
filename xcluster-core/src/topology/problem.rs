//! A list of the problems of an input, so that a user can correct all of them at once.

use std::fmt;

/// One problem of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The place of the problem, as a path through the input: `net.1.mtu`. Empty for the input as a whole.
    pub place: String,
    /// The line and the column in the file, both counted from one, if they are known.
    pub position: Option<(usize, usize)>,
    /// What is wrong, and what would be right: a fragment that begins in lower case.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "line {line}, column {column}: ")?;
        }
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)
    }
}

/// All problems of an input, in the order in which they were found. As an error it is never empty. Its `Debug` form is the
/// list that `Display` prints.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Problems {
    /// Adds a problem.
    pub fn add(&mut self, place: impl Into<String>, message: impl fmt::Display) {
        self.0.push(Problem { place: place.into(), position: None, message: message.to_string() });
    }

    /// Sets the line and the column of each problem whose place `position` knows.
    pub(crate) fn locate(&mut self, position: impl Fn(&str) -> Option<(usize, usize)>) {
        for problem in &mut self.0 {
            problem.position = problem.position.or_else(|| position(&problem.place));
        }
    }

    /// Returns the same problems with places in a larger input, of which this input is the part at `place`.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        for problem in &mut self.0 {
            problem.place =
                if problem.place.is_empty() { place.to_owned() } else { format!("{place}.{}", problem.place) };
        }
        self
    }

    /// Adds the problems of another list.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns `Ok` if the list is empty.
    ///
    /// # Errors
    /// The list, if it is not empty.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Iterates over the problems.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// A single problem on one line, several as a list.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => only.fmt(f),
            all => {
                write!(f, "{} problems", all.len())?;
                all.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl std::error::Error for Problems {}
