//! The language between a guest's agent and its host: messages, their bytes, and the limits both sides rely on. It opens,
//! reads and runs nothing. The agent's program and the library compile this same file.
//!
//! A frame is `length: u32, channel: u32, kind: u8` and `length` bytes of body, little-endian. Channel 0 is the session
//! itself; every command and every file transfer has a channel of its own, numbered by the host.
//!
//! The host begins with [`MAGIC`] and [`ToGuest::Hello`], and the agent answers [`FromGuest::Hello`] with the host's
//! session number. An agent that knows of no session (it was just started, or it could not read what the host said) looks
//! for the next `MAGIC` and says so by a `Hello` of session 0.
//!
//! Neither side has to hold more than a window's worth of what the other one sends on a channel: data costs [`cost`]
//! credits, and a `Credit` gives back what has been consumed.

mod bodies;
pub(crate) mod codec;

pub(crate) use codec::{Decoder, encode};

/// Version of this language; both sides must speak the same, since the host embeds the agent it was built with.
pub(crate) const VERSION: u32 = 1;

/// What the port is called: `virtserialport,name=…` in QEMU, `/dev/virtio-ports/…` in the guest.
pub(crate) const PORT: &str = "xcluster.agent";

/// Begins a session. Its first four bytes are no possible frame length, so it is also understood in the middle of another session.
pub(crate) const MAGIC: [u8; 16] = *b"\xff\xff\xff\xffxcluster\r\n\x1a\n";

/// Bytes before a frame's body.
pub(crate) const HEADER: usize = 9;

/// Longest body. It bounds argv and environment together, and what a peer can make us buffer.
pub(crate) const MAX_BODY: usize = 256 * 1024;

/// Longest data in one frame. With its header it fills the 32 KiB that Linux hands to a virtio port at once.
pub(crate) const CHUNK: usize = 32 * 1024 - HEADER;

/// Credits that each direction of a channel begins with.
pub(crate) const WINDOW: u32 = 256 * 1024;

/// What a data frame of so many bytes costs. The header counts, so that a flood of empty frames is bounded too.
pub(crate) fn cost(bytes: usize) -> u32 {
    u32::try_from(HEADER + bytes).unwrap_or(u32::MAX)
}

/// What the host says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ToGuest {
    /// Channel 0: a session begins; whatever an earlier one left running is killed.
    Hello { version: u32, session: u64 },
    /// Run a command.
    Exec(Exec),
    /// Write a file; its content follows as `Data`, then `Eof`.
    Put { path: Vec<u8>, mode: u32 },
    /// Read a file.
    Get { path: Vec<u8> },
    /// Standard input of a command, or content of a file.
    Data(Vec<u8>),
    /// The end of `Data`, which were so many bytes in all.
    Eof { total: u64 },
    /// So many credits' worth of output has been consumed.
    Credit(u32),
    /// A signal for the command's process group, SIGKILL for its whole session.
    Signal(i32),
    /// Forget this channel, killing or undoing what it stands for. Nothing answers.
    Cancel,
}

/// A command as the guest's kernel takes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Exec {
    /// Program, looked up in PATH, and arguments.
    pub(crate) argv: Vec<Vec<u8>>,
    /// Added to the environment of the agent.
    pub(crate) env: Vec<(Vec<u8>, Vec<u8>)>,
    /// Directory to run in; empty for that of the agent, which is `/`.
    pub(crate) cwd: Vec<u8>,
    /// Whether `Data` will follow; standard input is `/dev/null` otherwise.
    pub(crate) stdin: bool,
    /// Milliseconds after which it is killed; 0 for never.
    pub(crate) timeout_ms: u64,
}

/// What the agent says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromGuest {
    /// Channel 0: the agent is there.
    Hello(Hello),
    /// Output of a command, or content of a file (as standard output).
    Data { stream: Stream, bytes: Vec<u8> },
    /// So many credits' worth of input has been consumed.
    Credit(u32),
    /// The command closed its standard input: more of it is useless.
    InputClosed,
    /// The file to read exists; its content follows.
    Opened { mode: u32, size: u64 },
    /// The command has ended and all its output was sent.
    Ended(End),
    /// The file is complete, at so many bytes.
    Complete { total: u64 },
    /// It could not be begun, or a transfer broke off.
    Failed { errno: i32, text: Vec<u8> },
}

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Hello {
    /// Version that the agent speaks.
    pub(crate) version: u32,
    /// Session it answers to, or 0 when it knows of none.
    pub(crate) session: u64,
    /// Milliseconds from the guest's boot to the start of the agent.
    pub(crate) uptime_ms: u64,
    /// The guest's own name.
    pub(crate) hostname: Vec<u8>,
    /// Init scripts that failed.
    pub(crate) failed: Vec<Vec<u8>>,
}

/// Which output.
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
