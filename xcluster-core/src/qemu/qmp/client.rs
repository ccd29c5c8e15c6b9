//! The connection: one task that owns the socket, handles that ask it.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;

use super::{QmpError, Version};
use crate::qemu::json_lines::{LineReader, LineWriter, json_lines};

/// The longest line that is read. Descriptions of whole machines are some 100 KiB.
const LONGEST_LINE: usize = 8 << 20;

/// How many events wait for a slow reader before it misses the oldest ones.
const EVENTS: usize = 256;

/// How long a command may take. QEMU answers in milliseconds, but its main loop may be starved by many VMs on few cores.
pub(super) const WITHIN: Duration = Duration::from_secs(30);

/// A monitor. Clones are the same connection, which closes with the last of them.
#[derive(Debug, Clone)]
pub struct Qmp {
    requests: mpsc::UnboundedSender<Request>,
    events: broadcast::WeakSender<Event>,
    version: Version,
}

/// What has happened to the VM, in QEMU's words.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `SHUTDOWN`, `GUEST_PANICKED`, `STOP`…: whatever this QEMU knows.
    pub name: String,
    /// What QEMU says about it; null if nothing.
    pub data: Value,
}

/// Events from some moment on.
#[derive(Debug)]
pub struct Events(broadcast::Receiver<Event>);

/// A command on its way.
#[derive(Debug)]
struct Request {
    command: String,
    arguments: Value,
    fd: Option<OwnedFd>,
    answer: oneshot::Sender<Result<Value, QmpError>>,
}

/// The socket's owner.
#[derive(Debug)]
struct Monitor {
    writer: LineWriter,
    requests: mpsc::UnboundedReceiver<Request>,
    events: broadcast::Sender<Event>,
    pending: HashMap<u64, (String, oneshot::Sender<Result<Value, QmpError>>)>,
    last_id: u64,
}

impl Qmp {
    /// Greets a QEMU over the other end of its monitor's chardev. The events are those from the beginning.
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

    /// What QEMU said it was.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Events from now on.
    pub fn events(&self) -> Events {
        let events = self.events.upgrade();
        // A closed one for a QEMU that has ended.
        Events(events.map_or_else(|| broadcast::channel(1).1, |events| events.subscribe()))
    }

    /// Gives a command and waits for its answer, half a minute at most. Arguments are an object, or null for none.
    pub async fn execute(&self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        self.execute_within(command, arguments, None, WITHIN).await
    }

    /// The same with a time of its own, and with a descriptor if there is one to send along.
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
    /// The next event; none when QEMU has ended. Nothing is lost if the future is dropped.
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

    /// Waits for an event of this name; none when QEMU ended without it.
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
    /// Ends with QEMU, or with the last handle. Whoever still waits then hears that it is closed.
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

    /// An answer goes to who asked, an event to everybody; what is neither is noted and no reason to hang up.
    fn hear(&mut self, mut message: Value) {
        if let Some(name) = message["event"].as_str() {
            let event = Event { name: name.into(), data: message["data"].take() };
            tracing::trace!(?event, "QEMU says");
            // Nobody listening is fine.
            let _ = self.events.send(event);
            return;
        }
        let pending = message["id"].as_u64().and_then(|id| self.pending.remove(&id));
        let Some((command, answer)) = pending else {
            tracing::warn!(%message, "QEMU says what nobody asked for");
            return;
        };
        let error = &message["error"];
        let result = if error.is_null() {
            Ok(message["return"].take())
        } else {
            let text = |key: &str| error[key].as_str().unwrap_or("?").to_owned();
            Err(QmpError::Refused { command, class: text("class"), reason: text("desc") })
        };
        // Who asked may have given up.
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
