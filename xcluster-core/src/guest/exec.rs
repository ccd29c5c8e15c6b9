//! Commands in a guest, as users see them: the command, its events and output, and its exit status. Every kind of agent
//! returns the same [`Execution`].

mod command;
pub(crate) mod command_stream;
mod error;
mod execution;
mod output;
mod status;

pub use command::{Command, DEFAULT_MAX_OUTPUT, DEFAULT_TIMEOUT};
pub use command_stream::StdinWriter;
pub use error::ExecError;
pub use execution::{Event, Execution};
pub use output::Output;
pub use status::Status;

pub(crate) use command::Stdin;
pub(crate) use output::printable;
