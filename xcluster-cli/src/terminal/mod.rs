//! Somebody's terminal joined to something far away: consoles and telnet alike.
//!
//! * [`join`]: carries bytes both ways until one side ends.
//! * [`TerminalProtocol`]: what the bytes are wrapped in on their way; [`Plain`] is nothing.
//! * `input`: standard input and the window's size as events.
//! * `raw`: the terminal's mode, restored whatever happens.
//! * `telnet`: the wire of RFC 854.

mod input;
mod raw;
mod session;
pub(crate) mod telnet;

use std::io::{IsTerminal, Write, stderr, stdin};

pub(crate) use input::{Event, Input, standard_input};
pub(crate) use raw::is_foreground;
pub(crate) use session::{End, Plain, TerminalProtocol, join};

/// A window in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Characters in a line.
    pub(crate) columns: u16,
    /// Lines.
    pub(crate) rows: u16,
}

/// Says to somebody at a terminal where they are and how they leave.
pub(crate) fn announce(what: &str) {
    if stdin().is_terminal() && stderr().is_terminal() {
        let _ = writeln!(stderr(), "{what}; Ctrl-] leaves it");
    }
}

/// Says to somebody at a terminal that they are back.
pub(crate) fn conclude(end: End) {
    if stdin().is_terminal() && stderr().is_terminal() {
        let _ = writeln!(stderr(), "\n{}", if end == End::User { "left" } else { "closed by the node" });
    }
}

/// Joins this process's terminal, or whatever standard input and output are, to `stream`.
///
/// A terminal is switched to raw mode meanwhile, so that every key but Ctrl-] goes to the other side.
pub(crate) async fn attach(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
    protocol: impl TerminalProtocol,
) -> std::io::Result<End> {
    let _mode = raw::Mode::raw()?;
    join(stream, protocol, standard_input(), std::io::stdout()).await
}
