//! What is wrong with an input: a list, because a user mends all mistakes in one go. Knows nothing of topologies.

use std::fmt;

/// One mistake in an input.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where, as a path through the input: `net.1.mtu`. Empty for the input as a whole.
    pub place: String,
    /// Line and column in the file, both counted from one, where the input came from a text that tells.
    pub position: Option<(usize, usize)>,
    /// What is wrong and what would be right, in a lower-case fragment.
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

/// All mistakes of an input, in the order in which they were found; never empty when it is an error.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

/// For people: a test that ends with `?` prints it.
impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Problems {
    /// Adds a mistake.
    pub fn add(&mut self, place: impl Into<String>, message: impl fmt::Display) {
        self.0.push(Problem { place: place.into(), position: None, message: message.to_string() });
    }

    /// Says where in a text each mistake is, for those of which `position` knows the place.
    pub(crate) fn locate(&mut self, position: impl Fn(&str) -> Option<(usize, usize)>) {
        for problem in &mut self.0 {
            problem.position = problem.position.or_else(|| position(&problem.place));
        }
    }

    /// The same mistakes, of an input that is part of a larger one: of what stands there at `place`.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        for problem in &mut self.0 {
            problem.place =
                if problem.place.is_empty() { place.to_owned() } else { format!("{place}.{}", problem.place) };
        }
        self
    }

    /// Takes over the mistakes of another list.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// `Ok` if there are none.
    ///
    /// # Errors
    /// The mistakes, if there are any.
    pub fn into_result(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }

    /// The mistakes, one by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// Whether there are none.
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

/// A single mistake on one line, several as a list.
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
