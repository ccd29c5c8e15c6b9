//! QEMU's own guest agent, for images that come with it. Our guest has an agent of ours, since this one
//!
//! * can only be polled: readiness and the end of a command are noticed up to [`SLOWEST`] late;
//! * hands out output when the command has ended, and at most [`MOST_OUTPUT`] of each stream;
//! * cannot stream input;
//! * knows no process groups. Commands run under `setsid` where the guest has it, so that a deadline kills what they
//!   started; where it has not, only the command itself is killed;
//! * may be told by its distribution to refuse commands or files, which shows as its refusal.

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

/// The first pause between two questions, and the longest: each is half as long again as the one before.
const FASTEST: Duration = Duration::from_millis(10);
const SLOWEST: Duration = Duration::from_millis(500);

/// How much of a command's standard output, or standard error, the agent keeps: its own limit.
pub(crate) const MOST_OUTPUT: u64 = 16 << 20;

/// How long the agent may take for one answer. It does one thing after the other.
const WITHIN: Duration = Duration::from_secs(30);

/// How often a guest that has not answered yet is asked again. What is sent before its agent has opened the port waits in
/// the port, but what an agent that starts twice has read is lost.
const RETRY: Duration = Duration::from_secs(1);

/// The host's end. Clones are the same connection.
#[derive(Debug, Clone)]
pub(crate) struct Qga {
    client: Arc<Mutex<Client>>,
}

impl Qga {
    /// Takes the other end of the chardev of a guest's `org.qemu.guest_agent.0`.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { client: Arc::new(Mutex::new(Client::new(stream))) }
    }

    /// Asks until the guest answers. The deadline is the caller's.
    pub(crate) async fn ready(&self) -> Result<Ready, ExecError> {
        let mut client = self.client.lock().await;
        loop {
            match timeout(RETRY, client.synchronise()).await {
                Ok(done) => break done?,
                Err(_) => client.doubt(),
            }
        }
        // An old agent that cannot tell its name is ready all the same.
        let name = client.call("guest-get-host-name", Value::Null, WITHIN).await;
        let hostname = name.ok().and_then(|name| Some(printable(name["host-name"].as_str()?.as_bytes())));
        Ok(Ready { hostname: hostname.unwrap_or_default(), uptime: None, failed: Vec::new() })
    }

    /// Starts a command. Must be called within a runtime; the execution needs none.
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

    /// Starts a program and gives its number.
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
    ExecError::Lost { reason: format!("qemu-ga's answer to `{command}` is not understood") }
}

/// Pauses that grow.
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
