//! One running command: its session, pipes, timeout and end. Its messages go to the outbox.
//!
//! The result is sent when the command itself (the leader of the session) has ended and its output was sent. If processes in the
//! background hold the output open, the result is sent after [`LINGER`].

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::outbox::Outbox;
use crate::process::kill_session;
use crate::protocol::{self, CHUNK, End, Exec, FromGuest, Stream};
use crate::retired::Retired;
use crate::sys;
use crate::watch::{Source, Watch};

/// How long the result waits for output that other processes hold open after the leader has ended.
const LINGER: Duration = Duration::from_millis(250);

/// A command from its start to its result.
#[derive(Debug)]
pub(crate) struct Running {
    channel: u32,
    child: Child,
    leader: OwnedFd,
    input: Option<Input>,
    outputs: [Output; 2],
    credit: u32,
    deadline: Option<Instant>,
    timed_out: bool,
    ended: Option<Ended>,
}

/// Standard input, and the bytes that could not be written yet.
#[derive(Debug)]
struct Input {
    pipe: File,
    waiting: Vec<u8>,
    eof: bool,
}

#[derive(Debug)]
struct Output {
    stream: Stream,
    pipe: Option<File>,
    /// The number of bytes in the pipe when the leader ended. They are its own output, so they must be sent.
    owed: usize,
}

/// How the leader ended, and how long to read the output of other processes.
#[derive(Debug)]
struct Ended {
    end: End,
    linger: Instant,
}

impl Running {
    /// Starts the command in a new session.
    pub(crate) fn start(channel: u32, exec: &Exec) -> io::Result<Self> {
        let mut child = command(exec)?.spawn()?;
        let leader = sys::open_pidfd(child.id() as i32)?;
        let input = match child.stdin.take() {
            Some(pipe) => Some(Input { pipe: nonblocking(pipe.into())?, waiting: Vec::new(), eof: false }),
            None => None,
        };
        let outputs = [
            Output::new(Stream::Stdout, child.stdout.take().map(OwnedFd::from))?,
            Output::new(Stream::Stderr, child.stderr.take().map(OwnedFd::from))?,
        ];
        let timeout = (exec.timeout_ms > 0).then(|| Duration::from_millis(exec.timeout_ms));
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(Self {
            channel,
            child,
            leader,
            input,
            outputs,
            credit: protocol::WINDOW,
            deadline,
            timed_out: false,
            ended: None,
        })
    }

    /// Adds the descriptors and deadlines to wait for.
    pub(crate) fn watch(&self, watch: &mut Watch, outbox: &Outbox) {
        match &self.ended {
            None => {
                watch.readable(&self.leader, Source::Leader(self.channel));
                if let Some(deadline) = self.deadline.filter(|_| !self.timed_out) {
                    watch.until(deadline);
                }
            }
            Some(ended) => watch.until(ended.linger),
        }
        if let Some(input) = self.input.as_ref().filter(|input| !input.waiting.is_empty()) {
            watch.writable(&input.pipe, Source::Input(self.channel));
        }
        if outbox.room(self.credit) > 0 {
            for output in &self.outputs {
                if let Some(pipe) = &output.pipe {
                    watch.readable(pipe, Source::Output(self.channel, output.stream));
                }
            }
        }
    }

    /// Accepts input. Its credits are returned as the command reads it.
    pub(crate) fn input(&mut self, bytes: &[u8], outbox: &mut Outbox) {
        if let Some(input) = &mut self.input {
            input.waiting.extend_from_slice(bytes);
            // The cost of the frame itself is returned at once, the rest byte by byte.
            outbox.send(self.channel, &FromGuest::Credit(protocol::cost(0)));
            self.write_input(outbox);
        }
    }

    /// Closes the input when all of it is written.
    pub(crate) fn end_input(&mut self) {
        if let Some(input) = &mut self.input {
            input.eof = true;
            self.input.take_if(|input| input.waiting.is_empty());
        }
    }

    /// Writes as much input as the pipe takes without blocking.
    pub(crate) fn write_input(&mut self, outbox: &mut Outbox) {
        let Some(input) = &mut self.input else { return };
        match input.pipe.write(&input.waiting) {
            Ok(count) => {
                input.waiting.drain(..count);
                outbox.send(self.channel, &FromGuest::Credit(count as u32));
                self.input.take_if(|input| input.eof && input.waiting.is_empty());
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => {
                self.input = None;
                outbox.send(self.channel, &FromGuest::InputClosed);
            }
        }
    }

    /// Sends one chunk of output, if the outbox has room and there are credits.
    pub(crate) fn read_output(&mut self, stream: Stream, outbox: &mut Outbox) {
        let mut buffer = [0; CHUNK];
        let most = outbox.room(self.credit);
        let Some(output) = self.outputs.iter_mut().find(|output| output.stream == stream) else { return };
        let count = output.read(&mut buffer[..most]);
        if count > 0 {
            self.credit -= protocol::cost(count);
            outbox.send(self.channel, &FromGuest::Data { stream, bytes: buffer[..count].to_vec() });
        }
    }

    /// The host has consumed output.
    pub(crate) fn credit(&mut self, credit: u32) {
        self.credit = self.credit.saturating_add(credit);
    }

    /// Sends a signal to the command's process group; SIGKILL to its whole session, as at the timeout.
    pub(crate) fn signal(&self, number: i32) {
        if self.ended.is_some() {
        } else if number == sys::SIGKILL {
            kill_session(self.child.id());
        } else {
            sys::kill_group(self.child.id() as i32, number);
        }
    }

    /// Reaps the leader and notes how it ended.
    pub(crate) fn reap(&mut self) {
        let Ok(Some(status)) = self.child.try_wait() else { return };
        self.input = None;
        for output in &mut self.outputs {
            output.owed = output.pipe.as_ref().map_or(0, |pipe| sys::pending(pipe.as_fd()).unwrap_or(0));
        }
        let end = if self.timed_out { End::TimedOut } else { end(status) };
        self.ended = Some(Ended { end, linger: Instant::now() + LINGER });
    }

    /// Kills the session at the timeout. Returns how the command ended, once there is nothing more to wait for.
    pub(crate) fn progress(&mut self, now: Instant) -> Option<End> {
        match &self.ended {
            None => {
                if !self.timed_out && self.deadline.is_some_and(|deadline| deadline <= now) {
                    self.timed_out = true;
                    kill_session(self.child.id());
                }
                None
            }
            Some(ended) => {
                let over = ended.linger <= now;
                let done = self.outputs.iter().all(|output| output.pipe.is_none() || (over && output.owed == 0));
                done.then_some(ended.end)
            }
        }
    }

    /// After the result: the remaining output is read and discarded, so that SIGPIPE does not kill a daemon.
    pub(crate) fn finish(self) -> Retired {
        let pipes = self.outputs.into_iter().filter_map(|output| output.pipe).collect();
        Retired::new(None, pipes)
    }

    /// Kills the command without a result.
    pub(crate) fn cancel(self) -> Retired {
        let alive = self.ended.is_none();
        if alive {
            kill_session(self.child.id());
        }
        Retired::new(alive.then_some((self.child, self.leader)), Vec::new())
    }
}

impl Output {
    fn new(stream: Stream, pipe: Option<OwnedFd>) -> io::Result<Self> {
        Ok(Self { stream, pipe: pipe.map(nonblocking).transpose()?, owed: 0 })
    }

    /// Reads the available bytes; closes the pipe at its end.
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        let Some(pipe) = self.pipe.as_mut().filter(|_| !buffer.is_empty()) else { return 0 };
        match pipe.read(buffer) {
            Ok(0) => self.close(),
            Ok(count) => {
                self.owed = self.owed.saturating_sub(count);
                return count;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.close(),
        }
        0
    }

    fn close(&mut self) {
        self.pipe = None;
        self.owed = 0;
    }
}

fn command(exec: &Exec) -> io::Result<Command> {
    let [program, arguments @ ..] = exec.argv.as_slice() else {
        return Err(io::Error::from_raw_os_error(sys::EINVAL));
    };
    let mut command = Command::new(OsStr::from_bytes(program));
    command.args(arguments.iter().map(|argument| OsStr::from_bytes(argument)));
    command.envs(exec.env.iter().map(|(name, value)| (OsStr::from_bytes(name), OsStr::from_bytes(value))));
    if !exec.cwd.is_empty() {
        command.current_dir(OsStr::from_bytes(&exec.cwd));
    }
    command.stdin(if exec.stdin { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: this process has one thread, so the code between fork and exec has no restrictions.
    unsafe { command.pre_exec(own_session) };
    Ok(command)
}

/// Prepares the child before exec. Only the agent itself is protected from the out-of-memory killer, so the child resets that.
fn own_session() -> io::Result<()> {
    let _ = std::fs::write("/proc/self/oom_score_adj", "0");
    sys::new_session()
}

fn nonblocking(pipe: OwnedFd) -> io::Result<File> {
    sys::set_nonblocking(pipe.as_fd(), true)?;
    Ok(pipe.into())
}

fn end(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(code),
        (None, signal) => End::Signal(signal.unwrap_or(0)),
    }
}
