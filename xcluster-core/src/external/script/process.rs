//! One call of a script: its start, its output until its end, and its deadline. Does not interpret the output.

use std::collections::VecDeque;
use std::process::{Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::ChildStdout;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::super::lock;
use super::error::{Fault, ScriptError, StderrLines};
use crate::host::namespace::NamespaceEntry;
use crate::host::{ProcessTree, TreeEnd};
use crate::qemu::process::describe;

/// The most bytes that a script may print. QEMU's args for a NIC take a few hundred.
const OUTPUT_MAX: usize = 64 * 1024;
/// How many bytes of its standard error are kept, and how many lines of them are shown.
const STDERR_TAIL: usize = 4 * 1024;
const STDERR_LINES: usize = 10;
/// How long the rest of standard error is waited for after the end, since other processes may have it open.
const DRAIN: Duration = Duration::from_secs(1);
/// How long killed processes may take to end. It takes longer only where the kernel itself waits.
pub(super) const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// A running call.
#[derive(Debug)]
pub(super) struct ScriptProcess {
    name: String,
    deadline: Duration,
    tree: Arc<ProcessTree>,
    stdout: ChildStdout,
    ending: TreeEnd,
    stderr: Tail,
}

impl ScriptProcess {
    /// Starts a script. `name` is the call's name in errors.
    pub(super) fn start(
        name: String,
        command: Command,
        inside: Option<NamespaceEntry>,
        deadline: Duration,
    ) -> Result<Self, ScriptError> {
        match ProcessTree::start(command, inside) {
            Ok((tree, output)) => {
                let stderr = Tail::of(output.stderr, name.clone());
                Ok(Self { name, deadline, tree: Arc::new(tree), stdout: output.stdout, ending: output.ending, stderr })
            }
            Err(error) => Err(ScriptError { call: name, what: Fault::Spawn(error), said: StderrLines::default() }),
        }
    }

    /// The script's process tree, part of which may go on after a successful call.
    pub(super) fn tree(&self) -> Arc<ProcessTree> {
        Arc::clone(&self.tree)
    }

    /// Waits for the output, as a shell does: until all processes that have it open have closed it. `understand` interprets
    /// it.
    pub(super) async fn answer<T>(
        mut self,
        understand: impl FnOnce(&[u8]) -> Result<T, Fault> + Send,
    ) -> Result<T, ScriptError> {
        let mut status = None;
        let heard = timeout(self.deadline, hear(&mut self.stdout, &mut self.ending, &mut status)).await;
        let heard = heard.unwrap_or(match status {
            None => Err(Fault::Late(self.deadline)),
            Some(_) => Err(Fault::LeftOpen(self.deadline)),
        });
        match heard.and_then(|printed| understand(&printed)) {
            Ok(answer) => Ok(answer),
            Err(what) => {
                // A process that does not end is reported when the port is torn down.
                let _ = timeout(KILL_TIMEOUT, self.tree.end()).await;
                Err(ScriptError { call: self.name, what, said: self.stderr.last_lines().await })
            }
        }
    }
}

async fn hear(
    stdout: &mut ChildStdout,
    ending: &mut TreeEnd,
    status: &mut Option<ExitStatus>,
) -> Result<Vec<u8>, Fault> {
    let mut printed = Vec::new();
    let listen = async {
        stdout.take(OUTPUT_MAX as u64 + 1).read_to_end(&mut printed).await.map_err(Fault::Io)?;
        if printed.len() > OUTPUT_MAX { Err(Fault::TooMuch(OUTPUT_MAX)) } else { Ok(()) }
    };
    let end = async {
        let ended = ending.wait().await.map_err(Fault::Io)?;
        *status = Some(ended);
        if ended.success() { Ok(()) } else { Err(Fault::Ended(describe(ended))) }
    };
    tokio::try_join!(listen, end)?;
    Ok(printed)
}

/// The end of a script's standard error. Processes that have it open may go on writing.
#[derive(Debug)]
struct Tail {
    bytes: Arc<Mutex<VecDeque<u8>>>,
    listening: JoinHandle<()>,
}

impl Tail {
    fn of(stderr: impl AsyncRead + Unpin + Send + 'static, name: String) -> Self {
        let bytes = Arc::<Mutex<VecDeque<u8>>>::default();
        let listening = tokio::spawn(listen(stderr, bytes.clone(), name));
        Self { bytes, listening }
    }

    async fn last_lines(mut self) -> StderrLines {
        let _ = timeout(DRAIN, &mut self.listening).await;
        let bytes: Vec<u8> = lock(&self.bytes).iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let plain: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        let lines: Vec<&str> = plain.lines().filter(|line| !line.trim().is_empty()).collect();
        StderrLines(lines[lines.len().saturating_sub(STDERR_LINES)..].join("\n"))
    }
}

async fn listen(mut stderr: impl AsyncRead + Unpin, tail: Arc<Mutex<VecDeque<u8>>>, name: String) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        tracing::info!(call = name, "{}", String::from_utf8_lossy(&buffer[..count]).trim_end());
        let mut tail = lock(&tail);
        tail.extend(&buffer[..count]);
        let excess = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..excess);
    }
}
