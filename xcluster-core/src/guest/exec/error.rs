//! Errors of commands and copies in a guest.

use std::io;
use std::time::Duration;

use thiserror::Error;

use super::Status;
use crate::error_chain::readable_debug;
use crate::name::NodeId;

/// Why a command in a guest, or a copy to or from it, failed.
#[derive(Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The guest refused: no such program, no such file, no space.
    #[error("{what}")]
    Refused {
        /// What could not be done in the guest.
        what: String,
        /// The guest's reason.
        #[source]
        source: io::Error,
    },
    /// The command ran and was not successful.
    #[error("`{command}` {status}{}{}", on(.node.as_ref()), after_colon(.tail))]
    Unsuccessful {
        /// The node, if it is one of a cluster.
        node: Option<NodeId>,
        /// The command.
        command: String,
        /// How it ended.
        status: Status,
        /// The end of its standard error, or of its standard output if standard error is empty. At most 1 KiB.
        tail: String,
    },
    /// The connection to the guest is lost: its VM or its agent has ended.
    #[error("lost the connection to the guest: {reason}")]
    Lost {
        /// Why.
        reason: String,
    },
    /// The guest's agent did not answer in time.
    #[error("the guest's agent did not answer within {waited:?} after the deadline")]
    Unresponsive {
        /// How long the host waited after the deadline.
        waited: Duration,
    },
    /// The command wrote more output than is collected, and was killed.
    #[error("`{command}` wrote more than {limit} bytes of output")]
    TooMuchOutput {
        /// The command.
        command: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The arguments and the environment are too long for one message to the agent.
    #[error("the command is too long: {bytes} bytes with its environment, and at most {limit} are possible")]
    TooLong {
        /// Their length, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The agent of this guest cannot do that.
    #[error("{agent} cannot {what}")]
    Unsupported {
        /// The agent.
        agent: &'static str,
        /// What it cannot do.
        what: &'static str,
    },
    /// A file was not copied completely.
    #[error("{what}")]
    Incomplete {
        /// What is missing.
        what: String,
    },
    /// An operation on the host failed, not one in the guest: on a file to copy, or on a writer for output.
    #[error("{what} on the host")]
    Host {
        /// What could not be done on the host.
        what: String,
        /// The reason.
        #[source]
        source: io::Error,
    },
}

readable_debug!(ExecError);

fn on(node: Option<&NodeId>) -> String {
    node.map(|node| format!(" on {node}")).unwrap_or_default()
}

fn after_colon(tail: &str) -> String {
    if tail.is_empty() { String::new() } else { format!(": {tail}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_gives_up_prints_the_command_the_end_of_its_output_or_the_host() {
        let (command, status, tail) = ("ip link add".to_owned(), Status::Code(2), "no such device".to_owned());
        let error = ExecError::Unsuccessful { node: None, command, status, tail };
        assert_eq!(format!("{error:?}"), "`ip link add` exited with code 2: no such device");
        let error = ExecError::Host { what: "cannot read `/no/such`".into(), source: io::ErrorKind::NotFound.into() };
        assert_eq!(format!("{error:?}"), "cannot read `/no/such` on the host\n  caused by: entity not found");
    }
}
