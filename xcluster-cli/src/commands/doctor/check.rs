//! One finding about the host, as data.

use serde::Serialize;

/// How good a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Good,
    /// Clusters start, but something is slower or absent.
    Poor,
    /// No cluster starts.
    Bad,
}

impl Verdict {
    /// The word before a line.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Poor => "limited",
            Self::Bad => "missing",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at.
    pub(super) what: &'static str,
    /// How good it is.
    pub(super) verdict: Verdict,
    /// What was found.
    pub(super) found: String,
    /// What to type, if something is to be gained.
    pub(super) fix: Option<String>,
}

impl Check {
    /// As it should be.
    pub(super) fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Good, found: found.into(), fix: None }
    }

    /// Something is slower or absent.
    pub(super) fn poor(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Poor, found: found.into(), fix: Some(fix.into()) }
    }

    /// No cluster starts.
    pub(super) fn bad(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Bad, found: found.into(), fix: Some(fix.into()) }
    }
}
