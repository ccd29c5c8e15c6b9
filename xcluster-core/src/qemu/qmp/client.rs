//! The connection to a monitor: one task owns the socket, and handles send requests to it.

use std::collections::HashMap;
use std::fmt;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;

use super::QmpError;
use crate::qemu::json_lines::{LineReader, LineWriter, json_lines};

/// The longest line that is read, in bytes. The description of a whole machine has some 100 KiB.
const LONGEST_LINE: usize = 8 << 20;

/// How many events are kept for a slow reader before it misses the oldest ones.
const EVENTS: usize = 256;

/// The deadline for a command. QEMU answers in milliseconds, but many VMs on few cores can slow its main loop.
pub(super) const WITHIN: Duration = Duration::from_secs(30);

/// A connection to a monitor. Clones share it; it closes when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Qmp {
    requests: mpsc::UnboundedSender<Request>,
    events: broadcast::WeakSender<Event>,
    version: Version,
}

/// QEMU's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Version {
    /// The 7 of 7.2.22.
    pub major: u32,
    /// The 2.
    pub minor: u32,
    /// The 22.
    pub micro: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

/// An event of QEMU.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// QEMU's name for it: `SHUTDOWN`, `GUEST_PANICKED`, `STOP`….
    pub name: String,
    /// QEMU's data about it; null if there are none.
    pub data: Value,
}

/// A stream of events.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

/// A command to send.
#[derive(Debug)]
struct Request {
    command: String,
    arguments: Value,
    fd: Option<OwnedFd>,
    answer: oneshot::Sender<Result<Value, QmpError>>,
}

/// The task that owns the socket.
#[derive(Debug)]
struct Monitor {
    writer: LineWriter,
    requests: mpsc::UnboundedReceiver<Request>,
    events: broadcast::Sender<Event>,
    pending: HashMap<u64, (String, oneshot::Sender<Result<Value, QmpError>>)>,
    last_id: u64,
}

impl Qmp {
    /// Connects to a QEMU over the other end of its monitor's chardev. The events begin with QEMU's first one.
    ///
    /// # Errors
    /// QEMU has ended, does not answer within `within`, or does not speak QMP.
    pub async fn connect(stream: UnixStream, within: Duration) -> Result<(Self, Events), QmpError> {
        let (mut reader, mut writer) = json_lines(stream, LONGEST_LINE);
        let greeted = timeout(within, greet(&mut reader, &mut writer)).await;
        let version = greeted.map_err(|_| QmpError::Silent { command: "qmp_capabilities".into(), within })??;
        let (requests, received) = mpsc::unbounded_channel();
        let (events, first) = broadcast::channel(EVENTS);
        let weak = events.downgrade();
        let monitor = Monitor { writer, requests: received, events, pending: HashMap::new(), last_id: 0 };
        tokio::spawn(monitor.run(reader));
        Ok((Self { requests, events: weak, version }, Events(first)))
    }

    /// QEMU's version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns a stream of the events from now on.
    pub fn events(&self) -> Events {
        let events = self.events.upgrade();
        // The stream is closed if QEMU has ended.
        Events(events.map_or_else(|| broadcast::channel(1).1, |events| events.subscribe()))
    }

    /// Sends a command and waits for its answer, 30 s at most. `arguments` is an object, or null.
    ///
    /// # Errors
    /// QEMU refused the command, has ended, or did not answer in time.
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        self.execute_within(command, arguments, None, WITHIN).await
    }

    /// Like [`Self::execute`] with another deadline, and optionally with a descriptor.
    ///
    /// # Errors
    /// QEMU refused the command, has ended, or did not answer in time.
    pub async fn execute_within(
        &self,
        command: &str,
        arguments: Value,
        fd: Option<OwnedFd>,
        within: Duration,
    ) -> Result<Value, QmpError> {
        let (answer, answered) = oneshot::channel();
        let request = Request { command: command.into(), arguments, fd, answer };
        self.requests.send(request).map_err(|_| QmpError::Closed)?;
        match timeout(within, answered).await {
            Ok(answer) => answer.unwrap_or(Err(QmpError::Closed)),
            Err(_) => Err(QmpError::Silent { command: command.into(), within }),
        }
    }
}

impl Events {
    /// Returns the next event; `None` when QEMU has ended. Nothing is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    tracing::warn!(missed, "events of QEMU were not read in time")
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// Waits for an event with this name; `None` when QEMU ended without it.
    pub async fn wait_for(&mut self, name: &str) -> Option<Event> {
        loop {
            let event = self.next().await?;
            if event.name == name {
                return Some(event);
            }
        }
    }
}

impl Monitor {
    /// Runs until QEMU ends or the last handle is dropped. Pending commands then fail.
    async fn run(mut self, mut reader: LineReader) {
        loop {
            let done = tokio::select! {
                message = reader.next() => match message {
                    Ok(message) => {
                        self.hear(message);
                        Ok(())
                    }
                    Err(error) => Err(QmpError::from(error)),
                },
                request = self.requests.recv() => match request {
                    Some(request) => self.send(request).await,
                    None => return,
                },
            };
            if let Err(error) = done {
                tracing::debug!(%error, "a monitor of QEMU is closed");
                return;
            }
        }
    }

    async fn send(&mut self, request: Request) -> Result<(), QmpError> {
        self.last_id += 1;
        let mut message = json!({ "execute": request.command, "id": self.last_id });
        if !request.arguments.is_null() {
            message["arguments"] = request.arguments;
        }
        self.pending.insert(self.last_id, (request.command, request.answer));
        match request.fd {
            Some(fd) => self.writer.send_with(&message, fd).await?,
            None => self.writer.send(&message).await?,
        }
        Ok(())
    }

    /// Passes an answer to the handle that waits for it, and an event to all readers. Other messages are only logged: newer
    /// versions of QEMU may send them.
    fn hear(&mut self, mut message: Value) {
        if let Some(name) = message["event"].as_str() {
            let event = Event { name: name.into(), data: message["data"].take() };
            tracing::trace!(?event, "event of QEMU");
            // An error means that there is no reader.
            let _ = self.events.send(event);
            return;
        }
        let pending = message["id"].as_u64().and_then(|id| self.pending.remove(&id));
        let Some((command, answer)) = pending else {
            tracing::warn!(%message, "unexpected message of QEMU");
            return;
        };
        let error = &message["error"];
        let result = if error.is_null() {
            Ok(message["return"].take())
        } else {
            let text = |key: &str| error[key].as_str().unwrap_or("?").to_owned();
            Err(QmpError::Refused { command, class: text("class"), reason: text("desc") })
        };
        // An error means that the caller was cancelled.
        let _ = answer.send(result);
    }
}

async fn greet(reader: &mut LineReader, writer: &mut LineWriter) -> Result<Version, QmpError> {
    let mut greeting = reader.next().await?;
    let understood = |source| QmpError::Answer { command: "its greeting".into(), source };
    let version = serde_json::from_value(greeting["QMP"]["version"]["qemu"].take()).map_err(understood)?;
    writer.send(&json!({ "execute": "qmp_capabilities", "id": 0 })).await?;
    loop {
        let answer = reader.next().await?;
        if answer["id"] == 0 {
            return match answer["error"]["desc"].as_str() {
                None => Ok(version),
                Some(reason) => Err(QmpError::Refused {
                    command: "qmp_capabilities".into(),
                    class: answer["error"]["class"].as_str().unwrap_or("?").into(),
                    reason: reason.into(),
                }),
            };
        }
    }
}
