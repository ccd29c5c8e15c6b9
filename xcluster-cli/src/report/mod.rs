//! Failures as people read them: what failed, why, and which command helps. Only this module maps errors to hints. The caller
//! that tried an action says what failed.

mod core;

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _, stderr};

use serde::{Deserialize, Serialize};

use crate::exit::Exit;

/// The result of a command.
pub(crate) type Outcome = Result<Exit, Failure>;

/// The failure of a command. Plain data, because the owner of a cluster sends it to the process that started it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The exit code of the process.
    pub(crate) exit: Exit,
    /// The error, then its causes. Empty for a quiet end.
    pub(crate) chain: Vec<String>,
    /// Information beyond the causes: the end of a console, the teardown.
    pub(crate) notes: Vec<String>,
    /// The command that helps.
    pub(crate) hint: Option<String>,
}

impl Failure {
    /// A failure with one message, which is printed after `error:`.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, chain: vec![message.into()], notes: Vec::new(), hint: None }
    }

    /// An end without a message.
    pub(crate) const fn quiet(exit: Exit) -> Self {
        Self { exit, chain: Vec::new(), notes: Vec::new(), hint: None }
    }

    /// An error and its causes.
    pub(crate) fn from_error(exit: Exit, error: &dyn std::error::Error) -> Self {
        Self { exit, chain: causes(error), notes: Vec::new(), hint: None }
    }

    /// An error of the operating system. `action` follows "cannot".
    pub(crate) fn io(action: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self::from_error(Exit::FAILURE, error).context(format!("cannot {action}"))
    }

    /// This failure as the cause of another one.
    #[must_use]
    pub(crate) fn context(mut self, message: impl Into<String>) -> Self {
        self.chain.insert(0, message.into());
        self
    }

    /// This failure with a hint.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// This failure with another exit code.
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
            // Writing to a String cannot fail.
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

    /// Prints the failure. A closed standard error does not change the exit code.
    pub(crate) fn print(&self) {
        let _ = stderr().write_all(self.text(Colours::of_stderr()).as_bytes());
    }
}

/// Prints a note, which is not a failure.
pub(crate) fn note(text: &str) {
    let _ = writeln!(stderr(), "note: {}", printable(text));
}

/// The messages of an error and its causes.
fn causes(error: &dyn std::error::Error) -> Vec<String> {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect()
}

/// An error and its causes on one line.
pub(crate) fn one_line(error: &dyn std::error::Error) -> String {
    causes(error).join(": ")
}

/// Text from an untrusted source, without control characters: they could control the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// Whether messages have colours.
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

/// Whether the user has not turned colours off: <https://no-color.org>.
pub(crate) fn colourful() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_the_error_its_causes_the_notes_and_the_hint() {
        let mut failure = Failure::new(Exit::HOST, "cannot open `/dev/net/tun`: permission denied")
            .context("cannot set up net 1 with backend `bridge`")
            .context("cannot start vm-003")
            .hint("`sudo chmod 0666 /dev/net/tun`, or start with `--net user`");
        failure.notes.push("stopped 2 nodes; nothing is left behind".into());
        insta::assert_snapshot!(failure.text(Colours(false)), @r"
        error: cannot start vm-003
          caused by: cannot set up net 1 with backend `bridge`
          caused by: cannot open `/dev/net/tun`: permission denied
        stopped 2 nodes; nothing is left behind

        hint: `sudo chmod 0666 /dev/net/tun`, or start with `--net user`
        ");
    }

    #[test]
    fn a_list_of_problems_stays_a_list() {
        let failure = Failure::new(Exit::INVALID, "2 problems\n  a\n  b").context("cannot plan");
        assert_eq!(failure.text(Colours(false)), "error: cannot plan\n  caused by: 2 problems\n      a\n      b\n");
    }

    #[test]
    fn a_guests_text_cannot_control_the_terminal() {
        let failure = Failure::new(Exit::FAILURE, "the guest sent \x1b[2Jboo\r");
        assert_eq!(failure.text(Colours(false)), "error: the guest sent [2Jboo\n");
    }

    #[test]
    fn a_quiet_end_prints_nothing() {
        assert_eq!(Failure::quiet(Exit::PIPE).text(Colours(true)), "");
    }
}
