//! The protocol between the agent and the host: messages, their encoding, and the limits of both sides. Pure. The agent's
//! program and the library both compile this file.
//!
//! A frame is `length: u32, channel: u32, kind: u8` and `length` bytes of body, little-endian. Channel 0 is the session
//! itself; each command and each file transfer has its own channel, numbered by the host.
//!
//! The host begins with [`MAGIC`] and [`ToGuest::Hello`], and the agent answers [`FromGuest::Hello`] with the host's
//! session number. An agent without a session (it was just started, or it could not decode the host's bytes) sends a `Hello`
//! of session 0 and looks for the next `MAGIC`.
//!
//! A side buffers at most one window of data per channel: data costs [`cost`] credits, and a `Credit` returns those of consumed
//! data.

mod bodies;
pub(crate) mod codec;

pub(crate) use codec::{Decoder, encode};

/// The version of this protocol. Both sides must have the same one; the library contains the agent that it was built with.
pub(crate) const VERSION: u32 = 1;

/// The name of the port: `virtserialport,name=…` in QEMU, `/dev/virtio-ports/…` in the guest.
pub(crate) const PORT: &str = "xcluster.agent";

/// Begins a session. Its first four bytes are not a possible frame length, so it is also recognised within another session.
pub(crate) const MAGIC: [u8; 16] = *b"\xff\xff\xff\xffxcluster\r\n\x1a\n";

/// The length of a frame's header in bytes.
pub(crate) const HEADER: usize = 9;

/// The maximum length of a body. It limits the arguments and the environment together, and the memory that a peer can use.
pub(crate) const MAX_BODY: usize = 256 * 1024;

/// The maximum length of data in one frame. With its header it fills the 32 KiB that Linux passes to a virtio port at once.
pub(crate) const CHUNK: usize = 32 * 1024 - HEADER;

/// The initial credits of each direction of a channel.
pub(crate) const WINDOW: u32 = 256 * 1024;

/// Returns the cost of a data frame in credits. The header counts too, so that empty frames are limited.
pub(crate) fn cost(bytes: usize) -> u32 {
    u32::try_from(HEADER + bytes).unwrap_or(u32::MAX)
}

/// A message of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToGuest {
    /// Channel 0: a session begins. Commands of an earlier session are killed.
    Hello { version: u32, session: u64 },
    /// Run a command.
    Exec(Exec),
    /// Write a file; its content follows as `Data`, then `Eof`.
    Put { path: Vec<u8>, mode: u32 },
    /// Read a file.
    Get { path: Vec<u8> },
    /// Standard input of a command, or content of a file.
    Data(Vec<u8>),
    /// The end of `Data`, with the total number of bytes.
    Eof { total: u64 },
    /// Output with this many credits was consumed.
    Credit(u32),
    /// A signal for the command's process group, SIGKILL for its whole session.
    Signal(i32),
    /// Cancel the channel: kill the command, or discard the file. There is no answer.
    Cancel,
}

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Exec {
    /// Program, looked up in PATH, and arguments.
    pub(crate) argv: Vec<Vec<u8>>,
    /// Environment variables in addition to those of the agent.
    pub(crate) env: Vec<(Vec<u8>, Vec<u8>)>,
    /// The working directory; if empty, that of the agent, which is `/`.
    pub(crate) cwd: Vec<u8>,
    /// Whether `Data` will follow; standard input is `/dev/null` otherwise.
    pub(crate) stdin: bool,
    /// The timeout in milliseconds; 0 for none.
    pub(crate) timeout_ms: u64,
}

/// A message of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromGuest {
    /// Channel 0: the agent runs.
    Hello(Hello),
    /// Output of a command, or content of a file (as standard output).
    Data { stream: Stream, bytes: Vec<u8> },
    /// Input with this many credits was consumed.
    Credit(u32),
    /// The command has closed its standard input and takes no more.
    InputClosed,
    /// The file to read was opened; its content follows.
    Opened { mode: u32, size: u64 },
    /// The command has ended and all its output was sent.
    Ended(End),
    /// The file is complete, with its length in bytes.
    Complete { total: u64 },
    /// The command or transfer could not begin, or the transfer was interrupted.
    Failed { errno: i32, text: Vec<u8> },
}

/// A description of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hello {
    /// The agent's version of the protocol.
    pub(crate) version: u32,
    /// The session that the agent answers, or 0 if it has none.
    pub(crate) session: u64,
    /// Milliseconds from the guest's boot to the start of the agent.
    pub(crate) uptime_ms: u64,
    /// The guest's host name.
    pub(crate) hostname: Vec<u8>,
    /// Init scripts that failed.
    pub(crate) failed: Vec<Vec<u8>>,
}

/// One of the two outputs of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
    TimedOut,
}
