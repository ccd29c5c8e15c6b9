//! How a command ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a command in a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// It timed out: it and all processes of its session were killed.
    TimedOut,
}

impl Status {
    /// Whether it exited with code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The code that a shell would report: 128 + N for signal N, and 124 for a timeout, as with timeout(1).
    pub fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => signal.saturating_add(128),
            Self::TimedOut => 124,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with code {code}"),
            Self::Signal(signal) => write!(f, "was ended by signal {signal}"),
            Self::TimedOut => f.write_str("timed out and was killed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn codes_are_those_of_shells() {
        assert_eq!(Status::Code(3).code(), 3);
        assert_eq!(Status::Signal(9).code(), 137);
        assert_eq!(Status::Signal(i32::MAX).code(), i32::MAX);
        assert_eq!(Status::TimedOut.code(), 124);
        assert!(Status::Code(0).success() && !Status::TimedOut.success());
    }
}
