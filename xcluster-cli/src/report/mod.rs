//! Failures as people read them: what failed, why, and what to type next. Which hint fits which error is known here and
//! nowhere else; what failed is said by whoever tried.

mod core;

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stderr};

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// Why a command ends without having done what it was asked to. Plain data: the owner of a cluster sends it to the
/// process that started it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// What the process ends with.
    pub(crate) exit: Exit,
    /// What failed, then its causes. Empty if there is nothing to say.
    pub(crate) chain: Vec<String>,
    /// What is known beyond the causes: the end of a console, what was undone.
    pub(crate) notes: Vec<String>,
    /// What to type next.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure with one message, which reads after `error:`.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, chain: vec![message.into()], notes: Vec::new(), hint: None }
    }

    /// An end that needs no words.
    pub(crate) const fn quiet(exit: Exit) -> Self {
        Self { exit, chain: Vec::new(), notes: Vec::new(), hint: None }
    }

    /// An error and its causes.
    pub(crate) fn from_error(exit: Exit, error: &dyn std::error::Error) -> Self {
        Self { exit, chain: causes(error), notes: Vec::new(), hint: None }
    }

    /// Something the operating system refused. `action` reads after "cannot".
    pub(crate) fn io(action: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self::from_error(Exit::FAILURE, error).context(format!("cannot {action}"))
    }

    /// The same as the cause of something larger.
    #[must_use]
    pub(crate) fn context(mut self, message: impl Into<String>) -> Self {
        self.chain.insert(0, message.into());
        self
    }

    /// The same with what to type next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with another exit code.
    #[must_use]
    pub(crate) const fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// The whole message, empty for a quiet end.
    fn text(&self, colours: Colours) -> String {
        let mut text = String::new();
        for (index, message) in self.chain.iter().enumerate() {
            let lead = if index == 0 { colours.error() } else { "  caused by:" };
            let indent = if index == 0 { "  " } else { "    " };
            // Writing to a String does not fail.
            let _ = writeln!(text, "{lead} {}", printable(message).replace('\n', &format!("\n{indent}")));
        }
        for note in &self.notes {
            let _ = writeln!(text, "{}", printable(note).trim_end());
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(text, "\n{} {}", colours.hint(), printable(hint));
        }
        text
    }

    /// Tells the user. A standard error that nobody reads is no reason to fail differently.
    pub(crate) fn print(&self) {
        let _ = stderr().write_all(self.text(Colours::of_stderr()).as_bytes());
    }
}

/// Tells the user something that is no failure.
pub(crate) fn note(text: &str) {
    let _ = writeln!(stderr(), "note: {}", printable(text));
}

/// The texts of an error and its causes.
fn causes(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect()
}

/// An error and its causes on one line.
pub(crate) fn one_line(error: &dyn std::error::Error) -> String {
    causes(error).join(": ")
}

/// Text from elsewhere, without what would steer a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Whether messages are coloured.
#[derive(Debug, Clone, Copy)]
struct Colours(bool);

impl Colours {
    fn of_stderr() -> Self {
        Self(colourful() && stderr().is_terminal())
    }

    const fn error(self) -> &'static str {
        if self.0 { "\x1b[1;31merror:\x1b[0m" } else { "error:" }
    }

    const fn hint(self) -> &'static str {
        if self.0 { "\x1b[1;36mhint:\x1b[0m" } else { "hint:" }
    }
}

/// Whether the user leaves colours on: <https://no-color.org>.
pub(crate) fn colourful() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_from_what_failed_to_what_to_type() {
        let mut failure = Failure::new(Exit::HOST, "cannot open `/dev/net/tun`: permission denied")
            .context("cannot set up net 1 with backend `bridge`")
            .context("cannot start vm-003")
            .hint("`sudo chmod 0666 /dev/net/tun`, or start with `--net user`");
        failure.notes.push("2 nodes that were up are stopped again; nothing is left behind".into());
        insta::assert_snapshot!(failure.text(Colours(false)), @r"
        error: cannot start vm-003
          caused by: cannot set up net 1 with backend `bridge`
          caused by: cannot open `/dev/net/tun`: permission denied
        2 nodes that were up are stopped again; nothing is left behind

        hint: `sudo chmod 0666 /dev/net/tun`, or start with `--net user`
        ");
    }

    #[test]
    fn a_list_of_problems_stays_a_list() {
        let failure = Failure::new(Exit::INVALID, "2 problems\n  a\n  b").context("cannot plan");
        assert_eq!(failure.text(Colours(false)), "error: cannot plan\n  caused by: 2 problems\n      a\n      b\n");
    }

    #[test]
    fn a_guests_text_does_not_steer_the_terminal() {
        let failure = Failure::new(Exit::FAILURE, "it said \x1b[2Jboo\r");
        assert_eq!(failure.text(Colours(false)), "error: it said [2Jboo\n");
    }

    #[test]
    fn a_quiet_end_says_nothing() {
        assert_eq!(Failure::quiet(Exit::PIPE).text(Colours(true)), "");
    }
}
