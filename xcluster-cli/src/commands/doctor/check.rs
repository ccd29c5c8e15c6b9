//! The result of one check of the host, as data.

use serde::Serialize;

/// The verdict of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// No problem.
    Good,
    /// Clusters can start, but something is slower or missing.
    Poor,
    /// No cluster can start.
    Bad,
}

impl Verdict {
    /// The first column of the output.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Poor => "limited",
            Self::Bad => "missing",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// The subject of the check.
    pub(super) what: &'static str,
    /// The verdict.
    pub(super) verdict: Verdict,
    /// The finding.
    pub(super) found: String,
    /// The command that fixes or improves it, if there is one.
    pub(super) fix: Option<String>,
}

impl Check {
    /// No problem.
    pub(super) fn good(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Good, found: found.into(), fix: None }
    }

    /// Something is slower or missing.
    pub(super) fn poor(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Poor, found: found.into(), fix: Some(fix.into()) }
    }

    /// No cluster can start.
    pub(super) fn bad(what: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Bad, found: found.into(), fix: Some(fix.into()) }
    }
}
