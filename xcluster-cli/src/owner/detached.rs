//! The owner that `start` leaves behind. Until the cluster is ready, its standard input is a socket to `start`. Then it closes
//! everything inherited from `start`, so that a pipe behind `start` ends when `start` ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use nix::unistd::{dup2_stderr, dup2_stdin, setsid};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;
use xcluster_core::{ClusterStatus, Event};

use super::message::Message;
use super::run_owner::{StartObserver, run_owner};
use crate::exit::Exit;
use crate::report::{Failure, Outcome};
use crate::settings::Settings;

/// Deadline for the settings. `start` writes them at once.
const SETTINGS_LIMIT: Duration = Duration::from_secs(10);

/// Deadline of a message to `start`. If `start` is stopped (SIGSTOP) and does not read, the cluster still continues.
const MESSAGE_LIMIT: Duration = Duration::from_secs(5);

/// The log file of an owner after its start.
const LOG: &str = "owner.log";

/// Closes all inherited descriptors except standard input, output and error. Test harnesses and scripts keep pipes open, and
/// would wait for the owner. Must be called before this process opens anything.
pub(crate) fn forget_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    let inherited: Vec<RawFd> = numbers.filter(|number| *number > 2).collect();
    for number in inherited {
        // One of them was the descriptor of /proc/self/fd, which is already closed.
        let _ = nix::unistd::close(number);
    }
}

/// Owns the cluster that standard input describes, until it ends.
pub(crate) async fn own() -> Outcome {
    let socket = detach().map_err(|error| Failure::io("become the owner of a cluster", &error))?;
    let mut starter = Starter { socket: Some(BufReader::new(socket)) };
    let outcome = match starter.settings().await {
        Ok(settings) => run_owner(&settings, &mut starter).await,
        Err(failure) => Err(failure),
    };
    match outcome {
        // The waiting `start` prints the failure.
        Err(failure) if starter.socket.is_some() => {
            let exit = failure.exit;
            starter.tell(&Message::Failed(failure)).await;
            Ok(exit)
        }
        outcome => outcome,
    }
}

/// Leaves the terminal's session and moves the socket away from standard input.
fn detach() -> io::Result<UnixStream> {
    // Only fails for the leader of a process group: it already leads a session, or was started by hand.
    let _ = setsid();
    // It was executed as `/proc/self/exe`, so its name in process lists would be `exe`.
    let _ = nix::sys::prctl::set_name(c"xcluster");
    let socket = std::os::unix::net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    dup2_stdin(File::open("/dev/null")?)?;
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// The process that started this owner, while it waits.
#[derive(Debug)]
struct Starter {
    socket: Option<BufReader<UnixStream>>,
}

impl Starter {
    async fn settings(&mut self) -> Result<Settings, Failure> {
        let unreadable = |why: &dyn std::error::Error| {
            Failure::from_error(Exit::USAGE, why)
                .context("cannot read the settings: only `xcluster start` runs this command")
        };
        let mut line = String::new();
        let Some(socket) = &mut self.socket else { return Err(Failure::quiet(Exit::USAGE)) };
        let read = timeout(SETTINGS_LIMIT, socket.read_line(&mut line)).await;
        read.map_err(io::Error::from).and_then(|read| read).map_err(|error| unreadable(&error))?;
        serde_json::from_str(&line).map_err(|error| unreadable(&error))
    }

    /// Sends a message. [`StartObserver::gone`] notices if the process is gone.
    async fn tell(&mut self, message: &Message) {
        let Some(socket) = &mut self.socket else { return };
        let sent = async {
            let line = message.line()?;
            socket.write_all(&line).await
        };
        if let Err(error) = timeout(MESSAGE_LIMIT, sent).await.map_err(io::Error::from).and_then(|sent| sent) {
            tracing::debug!(%error, "cannot send a message to the process that started the owner");
        }
    }
}

impl StartObserver for Starter {
    async fn event(&mut self, event: Event) -> Result<(), Failure> {
        self.tell(&Message::Event(event)).await;
        Ok(())
    }

    async fn ready(&mut self, status: ClusterStatus) -> Result<(), Failure> {
        let log = status.folder.join(LOG);
        log_to(&log).map_err(|error| Failure::io(format!("write to `{}`", log.display()), &error))?;
        self.tell(&Message::Ready(Box::new(status))).await;
        self.socket = None;
        Ok(())
    }

    async fn gone(&mut self) {
        let Some(socket) = &mut self.socket else { return std::future::pending().await };
        // The process sends nothing more. An error counts as the end, too.
        let mut rest = [0; 64];
        while !matches!(socket.read(&mut rest).await, Ok(0) | Err(_)) {}
    }
}

/// Redirects standard error, with the log and panic messages, to a file.
fn log_to(path: &Path) -> io::Result<()> {
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    Ok(dup2_stderr(log)?)
}
