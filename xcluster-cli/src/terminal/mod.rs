//! The user's terminal, connected to a console or to telnet.
//!
//! * [`join`]: copies bytes both ways until one side ends.
//! * [`TerminalProtocol`]: the encoding of the bytes; [`Plain`] is none.
//! * `input`: standard input, window size and signals as events.
//! * `tty`: the terminal's mode and window size.
//! * `telnet`: the protocol of RFC 854.

mod input;
mod session;
pub(crate) mod telnet;
mod tty;

use std::io::{IsTerminal, Write, stderr, stdin};

pub(crate) use input::{Event, standard_input};
pub(crate) use session::{End, Plain, TerminalProtocol, join};
pub(crate) use tty::is_foreground;

/// Tells the user of a terminal what it is connected to, and how to leave.
pub(crate) fn announce(what: &str) {
    if stdin().is_terminal() && stderr().is_terminal() {
        let _ = writeln!(stderr(), "{what}; Ctrl-] leaves it");
    }
}

/// Tells the user of a terminal who ended the session.
pub(crate) fn conclude(end: End) {
    if stdin().is_terminal() && stderr().is_terminal() {
        let _ = writeln!(stderr(), "\n{}", if end == End::User { "left" } else { "closed by the node" });
    }
}

/// Connects standard input and output to `stream`.
///
/// A terminal is in raw mode meanwhile, so that every key except Ctrl-] goes to the other side.
pub(crate) async fn attach(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
    protocol: impl TerminalProtocol,
) -> std::io::Result<End> {
    let _mode = tty::RawMode::enter()?;
    join(stream, protocol, standard_input(), std::io::stdout()).await
}
