//! qemu-ga, QEMU's guest agent, for users' images. Our own guest has another agent, because qemu-ga
//!
//! * can only be polled: readiness and the end of a command are noticed up to [`SLOWEST`] late;
//! * returns the output after the end of the command, and at most [`MOST_OUTPUT`] of each stream;
//! * cannot stream input;
//! * does not use process groups. Commands run under `setsid` if the guest has it, so that a timeout also kills their
//!   children. Without `setsid`, only the command itself is killed;
//! * may be configured by the distribution to refuse commands or files. This is reported as a refusal.

mod client;
mod execution;
mod files;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use self::client::Client;
use self::execution::QgaExecution;
use super::agent::Ready;
use super::exec::command_stream::{CommandStream, RequestSender};
use super::exec::{Command, ExecError, Execution, Stdin, printable};

/// The first pause between two polls, and the longest. Each pause is one and a half times as long as the one before.
const FASTEST: Duration = Duration::from_millis(10);
const SLOWEST: Duration = Duration::from_millis(500);

/// How much of standard output, and of standard error, the agent keeps, in bytes. The limit is qemu-ga's.
pub(crate) const MOST_OUTPUT: u64 = 16 << 20;

/// How long the agent may take for one answer. It handles one request after the other.
const WITHIN: Duration = Duration::from_secs(30);

/// The pause before a guest that has not answered is asked again. A request that was sent before the agent opened the port stays
/// in the port. But if the agent is restarted, a request that it has already read is lost.
const RETRY: Duration = Duration::from_secs(1);

/// The host's end of the connection. Clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct Qga {
    client: Arc<Mutex<Client>>,
}

impl Qga {
    /// Takes the other end of the chardev of a guest's `org.qemu.guest_agent.0`.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { client: Arc::new(Mutex::new(Client::new(stream))) }
    }

    /// Polls until the guest answers. The caller sets the deadline.
    pub(crate) async fn ready(&self) -> Result<Ready, ExecError> {
        let mut client = self.client.lock().await;
        loop {
            match timeout(RETRY, client.synchronise()).await {
                Ok(done) => break done?,
                Err(_) => client.doubt(),
            }
        }
        // An old agent does not know this command, and is ready too.
        let name = client.call("guest-get-host-name", Value::Null, WITHIN).await;
        let hostname = name.ok().and_then(|name| Some(printable(name["host-name"].as_str()?.as_bytes())));
        Ok(Ready { hostname: hostname.unwrap_or_default(), uptime: None, failed: Vec::new() })
    }

    /// Starts a command. Must be called in a runtime; the execution needs none.
    pub(crate) fn exec(&self, command: &Command) -> Result<Execution, ExecError> {
        if command.stdin == Stdin::Streamed {
            return Err(ExecError::Unsupported { agent: "qemu-ga", what: "stream input" });
        }
        let (report, reports) = mpsc::unbounded_channel();
        let (request, requests) = mpsc::unbounded_channel();
        tokio::spawn(QgaExecution::new(self.clone(), command.clone(), report, requests).run());
        let requests = RequestSender::new(move |next| drop(request.send(next)));
        Ok(Execution::new(CommandStream::new(requests, reports, None), command))
    }

    async fn call(&self, command: &str, arguments: Value) -> Result<Value, ExecError> {
        self.client.lock().await.call(command, arguments, WITHIN).await
    }

    /// Starts a program and returns its pid in the guest.
    async fn start(&self, argv: &[String], input: Option<&[u8]>) -> Result<u64, ExecError> {
        let [path, arguments @ ..] = argv else { return Err(nonsense("guest-exec")) };
        let mut call = json!({ "path": path, "arg": arguments, "capture-output": true });
        if let Some(input) = input {
            call["input-data"] = client::encode(input).into();
        }
        let started = self.call("guest-exec", call).await?;
        started["pid"].as_u64().ok_or_else(|| nonsense("guest-exec"))
    }
}

fn nonsense(command: &str) -> ExecError {
    ExecError::Lost { reason: format!("qemu-ga's answer to `{command}` is malformed") }
}

/// The pauses between polls, which grow.
#[derive(Debug)]
struct Pauses(Duration);

impl Pauses {
    fn new() -> Self {
        Self(FASTEST)
    }

    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = SLOWEST.min(pause * 3 / 2);
        pause
    }
}
