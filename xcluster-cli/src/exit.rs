//! Exit codes: the one place that gives them numbers. Which error ends with which is said in `report`.

use std::process::ExitCode;

use serde::{Deserialize, Serialize};

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Exit(u8);

impl Exit {
    /// Done.
    pub(crate) const OK: Self = Self(0);
    /// Something failed that no other code names.
    pub(crate) const FAILURE: Self = Self(1);
    /// The command line is no command of ours; clap's own code.
    pub(crate) const USAGE: Self = Self(2);
    /// A topology or an option makes no sense, or no backend can carry it.
    pub(crate) const INVALID: Self = Self(3);
    /// The cluster or node is not there.
    pub(crate) const ABSENT: Self = Self(4);
    /// This host cannot do it.
    pub(crate) const HOST: Self = Self(5);
    /// A name or port is taken.
    pub(crate) const IN_USE: Self = Self(6);
    /// A deadline passed; the code of timeout(1).
    pub(crate) const TIMEOUT: Self = Self(124);
    /// The program is there but cannot be run, as a shell reports it.
    pub(crate) const NOT_EXECUTABLE: Self = Self(126);
    /// There is no such program, as a shell reports it.
    pub(crate) const NOT_FOUND: Self = Self(127);
    /// Ended by Ctrl-C, as a shell reports SIGINT.
    pub(crate) const INTERRUPTED: Self = Self(130);
    /// Nobody reads the output, as a shell reports SIGPIPE.
    pub(crate) const PIPE: Self = Self(141);
    /// The command could not be run in the node, as ssh(1) reports it.
    pub(crate) const NOT_RUN: Self = Self(255);

    /// The code of a command that ran in a node.
    pub(crate) fn of_command(code: i32) -> Self {
        // A guest's own agent may report more than a byte; the shell would keep the last one, of which 0 is a lie.
        Self(match u8::try_from(code & 0xff) {
            Ok(0) if code != 0 => 1,
            Ok(code) => code,
            Err(_) => 1,
        })
    }

    /// Whether all went well.
    pub(crate) fn is_ok(self) -> bool {
        self == Self::OK
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}

/// The codes and what they mean, in the words of `--help`.
pub(crate) const MEANINGS: [(Exit, &str); 13] = [
    (Exit::OK, "done"),
    (Exit::FAILURE, "something failed; the message says what"),
    (Exit::USAGE, "the command line is wrong"),
    (Exit::INVALID, "the topology, an option or the hook is invalid, or no backend can carry it"),
    (Exit::ABSENT, "there is no such cluster or node"),
    (Exit::HOST, "this host cannot do it; `xcluster doctor` says why"),
    (Exit::IN_USE, "the cluster's name, a port or a namespace's number is in use"),
    (Exit::TIMEOUT, "a deadline passed"),
    (Exit::NOT_EXECUTABLE, "nsenter: the program cannot be run"),
    (Exit::NOT_FOUND, "nsenter: there is no such program"),
    (Exit::INTERRUPTED, "interrupted"),
    (Exit::PIPE, "nobody read the output"),
    (Exit::NOT_RUN, "exec: the command could not be run; else its own exit code"),
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
