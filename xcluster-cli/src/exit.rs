//! The exit codes. `report` maps errors to them.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// The exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Exit(u8);

impl Exit {
    /// Done.
    pub(crate) const OK: Self = Self(0);
    /// A failure without another code.
    pub(crate) const FAILURE: Self = Self(1);
    /// The command line is wrong; clap's own code.
    pub(crate) const USAGE: Self = Self(2);
    /// A topology or an option is invalid, or no backend can carry it.
    pub(crate) const INVALID: Self = Self(3);
    /// The cluster or node does not exist.
    pub(crate) const ABSENT: Self = Self(4);
    /// This host cannot do it.
    pub(crate) const HOST: Self = Self(5);
    /// A name or port is in use.
    pub(crate) const IN_USE: Self = Self(6);
    /// A deadline passed; the code of timeout(1).
    pub(crate) const TIMEOUT: Self = Self(124);
    /// The program exists but cannot be run; a shell's code.
    pub(crate) const NOT_EXECUTABLE: Self = Self(126);
    /// The program does not exist; a shell's code.
    pub(crate) const NOT_FOUND: Self = Self(127);
    /// Ended by Ctrl-C; a shell's code for SIGINT.
    pub(crate) const INTERRUPTED: Self = Self(130);
    /// Nobody reads the output; a shell's code for SIGPIPE.
    pub(crate) const PIPE: Self = Self(141);
    /// The command could not be run in the node; the code of ssh(1).
    pub(crate) const NOT_RUN: Self = Self(255);

    /// The code of a command that ran in a node.
    pub(crate) fn of_command(code: i32) -> Self {
        // The agent of a user's image may report more than a byte. A shell keeps the lowest byte; if that is 0, the failure would
        // look like a success.
        Self(match u8::try_from(code & 0xff) {
            Ok(0) if code != 0 => 1,
            Ok(code) => code,
            Err(_) => 1,
        })
    }

    /// Whether it means success.
    pub(crate) fn is_ok(self) -> bool {
        self == Self::OK
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// The codes and their meanings, as in `--help`.
pub(crate) const MEANINGS: [(Exit, &str); 13] = [
    (Exit::OK, "done"),
    (Exit::FAILURE, "something failed; the message says what"),
    (Exit::USAGE, "the command line is wrong"),
    (Exit::INVALID, "the topology, an option or the hook is invalid, or no backend can carry it"),
    (Exit::ABSENT, "the cluster or node does not exist"),
    (Exit::HOST, "this host cannot do it; `xcluster doctor` says why"),
    (Exit::IN_USE, "the cluster's name, a port or a namespace's number is in use"),
    (Exit::TIMEOUT, "a deadline passed"),
    (Exit::NOT_EXECUTABLE, "nsenter: the program cannot be run"),
    (Exit::NOT_FOUND, "nsenter: the program does not exist"),
    (Exit::INTERRUPTED, "interrupted"),
    (Exit::PIPE, "nobody read the output"),
    (Exit::NOT_RUN, "exec: the command could not be run, or there is no such cluster or node"),
];

/// The exit codes as the last section of the help.
pub(crate) fn help() -> String {
    let lines = MEANINGS.map(|(exit, meaning)| format!("  {:>3}  {meaning}\n", exit.0));
    format!("Exit codes:\n{}", lines.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commands_failure_never_becomes_success() {
        assert_eq!(Exit::of_command(0), Exit::OK);
        assert_eq!(Exit::of_command(7), Exit(7));
        assert_eq!(Exit::of_command(256), Exit::FAILURE);
        assert_eq!(Exit::of_command(-1), Exit(255));
    }
}
