//! The task that runs one command: it starts the command and polls until the command has ended.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::client::decode;
use super::{MOST_OUTPUT, Pauses, Qga, nonsense};
use crate::guest::exec::command_stream::{Report, StreamRequest};
use crate::guest::exec::{Command, ExecError, Status, Stdin};
use crate::guest::protocol::{CHUNK, Stream};

/// Runs the command in its directory, with its environment, and in a new session, so that it can be killed with its children.
/// The shell is not the leader of a process group, so `setsid` does not fork and the pid stays the same.
const SCRIPT: &str = r#"cd "$1" || exit 126
shift
if command -v setsid >/dev/null; then exec setsid env "$@"; fi
exec env "$@""#;

/// Sends a signal to the process group of the session, or to the command alone.
const KILL: &str = r#"kill -"$2" "-$1" 2>/dev/null || kill -"$2" "$1""#;

const SIGKILL: i32 = 9;

/// How long a killed command may take to end.
const GRACE: Duration = Duration::from_secs(10);

/// The task behind an execution.
#[derive(Debug)]
pub(super) struct QgaExecution {
    qga: Qga,
    command: Command,
    reports: mpsc::UnboundedSender<Result<Report, ExecError>>,
    requests: mpsc::UnboundedReceiver<StreamRequest>,
}

impl QgaExecution {
    pub(super) fn new(
        qga: Qga,
        command: Command,
        reports: mpsc::UnboundedSender<Result<Report, ExecError>>,
        requests: mpsc::UnboundedReceiver<StreamRequest>,
    ) -> Self {
        Self { qga, command, reports, requests }
    }

    /// Runs the command and reports the result.
    pub(super) async fn run(mut self) {
        let result = self.follow().await;
        let reports = match result {
            Ok(Some((status, ended))) => reports(&self.command, status, &ended),
            Ok(None) => Vec::new(),
            Err(error) => vec![Err(error)],
        };
        for report in reports {
            let _ = self.reports.send(report);
        }
    }

    /// Returns the command's status and the agent's last answer; `None` if the command was cancelled.
    async fn follow(&mut self) -> Result<Option<(Status, Value)>, ExecError> {
        let deadline = self.command.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let input = match &self.command.stdin {
            Stdin::Bytes(bytes) => Some(bytes.as_slice()),
            Stdin::Null | Stdin::Streamed => None,
        };
        let pid = self.qga.start(&argv(&self.command), input).await?;
        let mut pauses = Pauses::new();
        // When to stop waiting for the agent; set once the deadline has passed.
        let mut overdue = None;
        loop {
            let ended = self.qga.call("guest-exec-status", json!({ "pid": pid })).await?;
            if ended["exited"] == true {
                let status = if overdue.is_some() { Status::TimedOut } else { status(&ended)? };
                return Ok(Some((status, ended)));
            }
            if overdue.is_some_and(|overdue| overdue <= Instant::now()) {
                return Err(ExecError::Unresponsive { waited: GRACE });
            }
            tokio::select! {
                () = sleep(pauses.next()) => {}
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() && overdue.is_none() => {
                    overdue = Some(Instant::now() + GRACE);
                    pauses = Pauses::new();
                    self.signal(pid, SIGKILL).await?;
                }
                request = self.requests.recv() => match request {
                    Some(StreamRequest::Signal(number)) => self.signal(pid, number).await?,
                    Some(StreamRequest::Consumed(_) | StreamRequest::Data(_) | StreamRequest::Eof { .. }) => {}
                    Some(StreamRequest::Cancel) | None => {
                        self.signal(pid, SIGKILL).await?;
                        return Ok(None);
                    }
                },
            }
        }
    }

    async fn signal(&self, pid: u64, number: i32) -> Result<(), ExecError> {
        let argv = ["sh", "-c", KILL, "sh", &pid.to_string(), &number.to_string()].map(str::to_owned);
        self.qga.start(&argv, None).await.map(drop)
    }
}

fn argv(command: &Command) -> Vec<String> {
    let text = |arg: &std::ffi::OsStr| arg.to_string_lossy().into_owned();
    let mut argv = ["sh", "-c", SCRIPT, "sh"].map(str::to_owned).to_vec();
    argv.push(command.cwd.as_deref().map_or_else(|| "/".into(), text));
    argv.extend(command.env.iter().map(|(name, value)| format!("{}={}", text(name), text(value))));
    argv.extend(command.argv.iter().map(|arg| text(arg)));
    argv
}

fn status(ended: &Value) -> Result<Status, ExecError> {
    let number = |key: &str| ended[key].as_i64().and_then(|number| i32::try_from(number).ok());
    let status = number("signal").map(Status::Signal).or(number("exitcode").map(Status::Code));
    status.ok_or_else(|| nonsense("guest-exec-status"))
}

fn reports(command: &Command, status: Status, ended: &Value) -> Vec<Result<Report, ExecError>> {
    if ended["out-truncated"] == true || ended["err-truncated"] == true {
        return vec![Err(ExecError::TooMuchOutput { command: command.to_string(), limit: MOST_OUTPUT })];
    }
    let (Some(stdout), Some(stderr)) = (decode(&ended["out-data"]), decode(&ended["err-data"])) else {
        return vec![Err(nonsense("guest-exec-status"))];
    };
    let stdout = stdout.chunks(CHUNK).map(|chunk| Report::Data(Stream::Stdout, chunk.to_vec()));
    let stderr = stderr.chunks(CHUNK).map(|chunk| Report::Data(Stream::Stderr, chunk.to_vec()));
    stdout.chain(stderr).chain([Report::Ended(status)]).map(Ok).collect()
}
