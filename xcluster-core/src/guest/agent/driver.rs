//! The task that owns the descriptor and passes messages between the guest and the channels. It waits for bytes, requests and
//! deadlines, and never for a user: credits limit what the guest may send.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::channel::Channel;
use crate::guest::exec::command_stream::StreamRequest;
use crate::guest::exec::{ExecError, printable};
use crate::guest::protocol::{self, Decoder, FromGuest, Hello, MAGIC, ToGuest, VERSION};

/// While more than this many bytes wait for the guest, no requests are accepted.
const OUTBOX: usize = 256 * 1024;

/// The meaning of the end of the stream: QEMU holds the other end while it runs.
const GONE: &str = "its VM has ended";

/// The report of a guest whose agent has started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ready {
    /// The guest's host name.
    pub(crate) hostname: String,
    /// The time from the guest's boot to the start of its agent, by the guest's clock; `None` with qemu-ga.
    pub(crate) uptime: Option<Duration>,
    /// Init scripts that failed; empty with qemu-ga.
    pub(crate) failed: Vec<String>,
}

/// A request of a handle.
#[derive(Debug)]
pub(super) enum Request {
    /// Open a channel with this frame.
    Open { id: u32, frame: Vec<u8>, channel: Channel },
    /// A request of the user's end of a channel.
    Stream(u32, StreamRequest),
}

/// The state of the guest.
#[derive(Debug)]
pub(super) enum State {
    /// The guest has not answered yet.
    Booting,
    /// The agent runs.
    Ready(Ready),
    /// The connection is lost, for this reason.
    Ended(String),
}

/// The host's end of the descriptor.
#[derive(Debug)]
pub(super) struct Driver {
    stream: UnixStream,
    requests: mpsc::UnboundedReceiver<Request>,
    state: watch::Sender<State>,
    decoder: Decoder,
    outbox: Vec<u8>,
    channels: HashMap<u32, Channel>,
    newest: u32,
    session: u64,
    /// Whether the guest has answered the last hello.
    greeted: bool,
}

impl Driver {
    pub(super) fn new(
        stream: UnixStream,
        requests: mpsc::UnboundedReceiver<Request>,
        state: watch::Sender<State>,
    ) -> Self {
        Self {
            stream,
            requests,
            state,
            decoder: Decoder::default(),
            outbox: Vec::new(),
            channels: HashMap::new(),
            newest: 0,
            // Random: the guest may be a clone of a guest that has another host's session.
            session: RandomState::new().hash_one("session") >> 1,
            greeted: false,
        }
    }

    /// Runs until the guest is gone or sends malformed messages, or until the last handle is dropped.
    pub(super) async fn run(mut self) {
        self.greet();
        let reason = loop {
            match self.step().await {
                Ok(true) => {}
                Ok(false) => return,
                Err(reason) => break reason,
            }
        };
        tracing::debug!(%reason, "lost the connection to a guest's agent");
        // The state is set first: a user who sees the loss and tries again must get the same reason.
        self.state.send_replace(State::Ended(reason.clone()));
        self.requests.close();
        while let Ok(request) = self.requests.try_recv() {
            if let Request::Open { id, channel, .. } = request {
                self.channels.insert(id, channel);
            }
        }
        self.fail_all(&reason);
    }

    async fn step(&mut self) -> Result<bool, String> {
        let (idle, full) = (self.outbox.is_empty(), self.outbox.len() > OUTBOX);
        let interest = if idle { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        let deadline = self.channels.values().filter_map(Channel::expires).min();
        tokio::select! {
            ready = self.stream.ready(interest) => {
                let ready = ready.map_err(|error| lost(&error))?;
                if ready.is_writable() {
                    self.write()?;
                }
                if ready.is_readable() {
                    self.read()?;
                }
            }
            request = self.requests.recv(), if !full => match request {
                Some(request) => self.take(request),
                None => return Ok(false),
            },
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.expire(),
        }
        Ok(true)
    }

    fn write(&mut self) -> Result<(), String> {
        match self.stream.try_write(&self.outbox) {
            Ok(count) => drop(self.outbox.drain(..count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Messages that the guest sent before it ended must still be read.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.outbox.clear(),
            Err(error) => return Err(lost(&error)),
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), String> {
        let mut buffer = [0; 64 * 1024];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => return Err(GONE.into()),
            Ok(count) => self.decoder.push(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(lost(&error)),
        }
        loop {
            match self.decoder.next() {
                Ok(Some((id, message))) => self.hear(id, message)?,
                Ok(None) => return Ok(()),
                Err(malformed) => return Err(format!("its agent sent {malformed}")),
            }
        }
    }

    fn hear(&mut self, id: u32, message: FromGuest) -> Result<(), String> {
        if let FromGuest::Hello(hello) = message {
            return self.meet(hello);
        }
        match self.channels.get_mut(&id) {
            Some(channel) => match channel.hear(message) {
                Ok(false) => {}
                Ok(true) => drop(self.channels.remove(&id)),
                Err(problem) => return Err(format!("its agent sent {problem}")),
            },
            // The message was sent before the channel was closed.
            None if id <= self.newest && id > 0 => {}
            None => return Err("its agent sent a message about a command that does not exist".into()),
        }
        Ok(())
    }

    /// Handles a hello: the agent has answered, or has been restarted.
    fn meet(&mut self, hello: Hello) -> Result<(), String> {
        if hello.version != VERSION {
            return Err(format!("its agent has protocol version {}, this library has {VERSION}", hello.version));
        }
        if hello.session == self.session {
            self.greeted = true;
            self.state.send_replace(State::Ready(ready(hello)));
        } else if hello.session == 0 && self.greeted {
            // A hostile guest may send any number of these, and the answers must not use up memory.
            if self.outbox.len() > OUTBOX {
                return Err("its agent restarts again and again".into());
            }
            self.fail_all("its agent was restarted");
            self.session += 1;
            self.greet();
        }
        Ok(())
    }

    fn greet(&mut self) {
        self.greeted = false;
        self.outbox.extend_from_slice(&MAGIC);
        protocol::encode(0, &ToGuest::Hello { version: VERSION, session: self.session }, &mut self.outbox);
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Open { id, frame, channel } => {
                self.newest = self.newest.max(id);
                self.outbox.extend_from_slice(&frame);
                self.channels.insert(id, channel);
            }
            Request::Stream(id, request) => {
                let cancelled = matches!(request, StreamRequest::Cancel);
                let Some(channel) = self.channels.get_mut(&id) else { return };
                if let Some(message) = channel.apply(request) {
                    protocol::encode(id, &message, &mut self.outbox);
                }
                if cancelled {
                    self.channels.remove(&id);
                }
            }
        }
    }

    /// Fails the channels whose answer is overdue.
    fn expire(&mut self) {
        let now = Instant::now();
        let overdue = |(id, channel): (&u32, &mut Channel)| Some((*id, channel.is_overdue(now)?));
        let overdue: Vec<(u32, Duration)> = self.channels.iter_mut().filter_map(overdue).collect();
        for (id, waited) in overdue {
            if let Some(channel) = self.channels.remove(&id) {
                channel.fail(ExecError::Unresponsive { waited });
                protocol::encode(id, &ToGuest::Cancel, &mut self.outbox);
            }
        }
    }

    fn fail_all(&mut self, reason: &str) {
        for (_, channel) in self.channels.drain() {
            channel.fail(ExecError::Lost { reason: reason.to_owned() });
        }
    }
}

fn lost(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => GONE.into(),
        _ => format!("its channel failed: {error}"),
    }
}

fn ready(hello: Hello) -> Ready {
    Ready {
        hostname: printable(&hello.hostname),
        uptime: Some(Duration::from_millis(hello.uptime_ms)),
        failed: hello.failed.iter().map(|script| printable(script)).collect(),
    }
}
