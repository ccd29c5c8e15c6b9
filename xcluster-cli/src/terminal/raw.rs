//! The mode of the terminal on standard input. Nothing here reads or writes.

use std::io::{self, IsTerminal, stdin, stdout};

use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::Size;

/// The terminal in raw mode; the mode that was before comes back when this is dropped. Nothing at all if standard input
/// or output is no terminal.
#[derive(Debug)]
pub(crate) struct Mode {
    before: Option<Termios>,
}

impl Mode {
    /// Switches to raw mode.
    pub(crate) fn raw() -> io::Result<Self> {
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

impl Drop for Mode {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // A terminal that has gone away needs no mode.
            let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, before);
        }
    }
}

/// The window of the terminal on standard output, if it is one.
pub(crate) fn window() -> Option<Size> {
    let (width, height) = terminal_size::terminal_size_of(stdout())?;
    Some(Size { columns: width.0, rows: height.0 })
}

/// Whether reading from standard input would not stop this process: it is no terminal, or ours to read from.
pub(crate) fn is_foreground() -> bool {
    !stdin().is_terminal() || nix::unistd::tcgetpgrp(stdin()).is_ok_and(|group| group == nix::unistd::getpgrp())
}
