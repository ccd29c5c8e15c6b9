//! Why a command or a copy in a guest gave no result, or not the wanted one.

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
        /// What could not be done there.
        what: String,
        /// The guest's reason.
        #[source]
        source: io::Error,
    },
    /// The command ran and ended badly.
    #[error("`{command}` {status}{}{}", on(.node.as_ref()), after_colon(.tail))]
    Unsuccessful {
        /// The node, if it is one of a cluster.
        node: Option<NodeId>,
        /// What was run.
        command: String,
        /// How it ended.
        status: Status,
        /// The end of its standard error, or of its standard output if it said nothing there.
        tail: String,
    },
    /// The way to the guest is gone: its VM or its agent has ended.
    #[error("the guest cannot be reached any more: {reason}")]
    Lost {
        /// What was seen.
        reason: String,
    },
    /// The guest's agent does not report what is overdue.
    #[error("the guest's agent said nothing for {waited:?} after the deadline")]
    Unresponsive {
        /// How long it was given beyond the deadline.
        waited: Duration,
    },
    /// More output than is collected; the command was killed.
    #[error("more than {limit} bytes of output")]
    TooMuchOutput {
        /// The limit.
        limit: u64,
    },
    /// Arguments and environment do not fit one message to the agent.
    #[error("a command of {bytes} bytes with its environment, where {limit} are possible")]
    TooLong {
        /// Their length.
        bytes: usize,
        /// What fits.
        limit: usize,
    },
    /// The agent of this guest cannot do that.
    #[error("{agent} cannot {what}")]
    Unsupported {
        /// Which agent.
        agent: &'static str,
        /// What it cannot do.
        what: &'static str,
    },
    /// A file did not arrive whole.
    #[error("{what}")]
    Incomplete {
        /// What is missing.
        what: String,
    },
    /// The side outside the guest failed: a file to copy, a writer for output.
    #[error("{what}")]
    Local {
        /// What could not be done here.
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
