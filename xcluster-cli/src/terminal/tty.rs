//! The terminal of this process: its mode and its window size. Nothing here reads or writes.

use std::io::{self, IsTerminal, stdin, stdout};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// The size of a window in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Characters in a line.
    pub(crate) columns: u16,
    /// Lines.
    pub(crate) rows: u16,
}

/// Raw mode of the terminal. Dropping it restores the previous mode. It does nothing if standard input or output is not a
/// terminal.
#[derive(Debug)]
pub(crate) struct RawMode {
    before: Option<Termios>,
}

impl RawMode {
    /// Enters raw mode.
    pub(crate) fn enter() -> io::Result<Self> {
        if !stdin().is_terminal() || !stdout().is_terminal() {
            return Ok(Self { before: None });
        }
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(stdin(), SetArg::TCSADRAIN, &raw)?;
        Ok(Self { before: Some(before) })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A closed terminal needs no mode.
            let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, before);
        }
    }
}

/// The window size of the terminal on standard output, if it is one.
pub(crate) fn window() -> Option<Size> {
    let (width, height) = terminal_size::terminal_size_of(stdout())?;
    Some(Size { columns: width.0, rows: height.0 })
}

/// Whether this process may read standard input. Reading a terminal would stop a background job.
pub(crate) fn is_foreground() -> bool {
    !stdin().is_terminal() || nix::unistd::tcgetpgrp(stdin()).is_ok_and(|group| group == nix::unistd::getpgrp())
}
