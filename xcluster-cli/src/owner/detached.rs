//! The owner that `start` leaves behind. Its standard input is a socket to the process that started it, until the cluster
//! is ready; then it holds nothing of that process's any more, so that a pipe behind `start` ends when `start` does.

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
use crate::commands::Outcome;
use crate::exit::Exit;
use crate::report::Failure;
use crate::settings::Settings;

/// How long the settings may take: they are written at once.
const SETTINGS_LIMIT: Duration = Duration::from_secs(10);

/// How long the last word may take. Who does not read it has been stopped, and is not worth a cluster's end.
const LAST_WORD_LIMIT: Duration = Duration::from_secs(5);

/// Where an owner that is on its own writes what it has to say.
const LOG: &str = "owner.log";

/// Closes what was inherited beside the three usual descriptors. Test harnesses and scripts keep pipes of their own open,
/// and would wait for the owner. Must be called before anything of ours is open.
pub(crate) fn forget_inherited() {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    let inherited: Vec<RawFd> = numbers.filter(|number| *number > 2).collect();
    for number in inherited {
        // One of them was the folder's own, and is closed by now.
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
        // The one who waits prints it.
        Err(failure) if starter.socket.is_some() => {
            let exit = failure.exit;
            starter.tell(&Message::Failed(failure)).await;
            Ok(exit)
        }
        outcome => outcome,
    }
}

/// Leaves the terminal's session and takes the socket off standard input.
fn detach() -> io::Result<UnixStream> {
    // Only fails for the leader of a process group, who is the leader of a session already or has been started by hand.
    let _ = setsid();
    // It was run by way of `/proc/self/exe`, which would be its name in lists of processes.
    let _ = nix::sys::prctl::set_name(c"xcluster");
    let socket = std::os::unix::net::UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    dup2_stdin(File::open("/dev/null")?)?;
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

/// The process that started us, as long as it waits.
#[derive(Debug)]
struct Starter {
    socket: Option<BufReader<UnixStream>>,
}

impl Starter {
    async fn settings(&mut self) -> Result<Settings, Failure> {
        let unreadable = |why: &dyn std::error::Error| {
            Failure::from_error(Exit::USAGE, why).context("cannot read settings: `owner` is run by `start` only")
        };
        let mut line = String::new();
        let Some(socket) = &mut self.socket else { return Err(Failure::quiet(Exit::USAGE)) };
        let read = timeout(SETTINGS_LIMIT, socket.read_line(&mut line)).await;
        read.map_err(io::Error::from).and_then(|read| read).map_err(|error| unreadable(&error))?;
        serde_json::from_str(&line).map_err(|error| unreadable(&error))
    }

    /// Tells it something. Whether it still listens is seen by [`StartObserver::gone`].
    async fn tell(&mut self, message: &Message) {
        let Some(socket) = &mut self.socket else { return };
        let told = async {
            let line = message.line()?;
            socket.write_all(&line).await
        };
        if let Err(error) = timeout(LAST_WORD_LIMIT, told).await.map_err(io::Error::from).and_then(|told| told) {
            tracing::debug!(%error, "the process that started us does not listen");
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
        // It has nothing more to say; an error is an end too.
        let mut rest = [0; 64];
        while !matches!(socket.read(&mut rest).await, Ok(0) | Err(_)) {}
    }
}

/// Sends standard error, with the log and a panic's last words, to a file.
fn log_to(path: &Path) -> io::Result<()> {
    let log = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    Ok(dup2_stderr(log)?)
}
