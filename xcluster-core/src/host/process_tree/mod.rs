//! A program with all that it starts: they end together, also those that left its process group and its session. It takes no
//! privilege and no namespace, so that the program is where its user is and sees what its user sees. Says nothing of what
//! it is for.
//!
//! ```text
//! owner's thread ── supervisor ── the program ── whatever it starts
//!         death signal     whoever loses a parent becomes the supervisor's child
//! ```

mod supervisor;
#[cfg(test)]
mod tests;

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::{Notify, watch};

use super::namespace::NamespaceEntry;

/// Has a program that starts no others end with the calling *thread*. What enters a namespace before must be said before.
pub fn end_with_thread(command: &mut Command) {
    let starter = nix::unistd::getpid();
    let before_exec = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // It may have ended before the signal was asked for.
        if nix::unistd::getppid() != starter {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // A group of its own: Ctrl-C in a terminal is for the owner.
        Ok(nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0))?)
    };
    // SAFETY: between fork and exec only system calls are made, on values that exist already.
    unsafe { command.pre_exec(before_exec) };
}

/// A program and whatever it has started. Dropping it ends all of them.
///
/// What has become another user, as by `sudo`, is out of reach: it is left to itself.
#[derive(Debug)]
pub struct ProcessTree {
    end: Arc<Notify>,
    gone: watch::Receiver<bool>,
}

/// The other ends of what a program says.
#[derive(Debug)]
pub struct ProcessTreeOutput {
    /// Its standard output: at its end when everybody who has it has closed it.
    pub stdout: ChildStdout,
    /// Its standard error.
    pub stderr: ChildStderr,
    /// Its own end.
    pub ending: TreeEnd,
}

/// The end of a program, whatever becomes of what it has started.
#[derive(Debug)]
pub struct TreeEnd {
    report: pipe::Receiver,
    gone: watch::Receiver<bool>,
}

impl ProcessTree {
    /// Starts a program, in a namespace if one is given, with nothing to read. All of them end with the calling *thread*,
    /// which must be in a tokio runtime.
    ///
    /// # Errors
    /// It cannot be executed.
    pub fn start(mut command: Command, inside: Option<NamespaceEntry>) -> io::Result<(Self, ProcessTreeOutput)> {
        let (status, report) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(inside) = inside {
            inside.enter(&mut command);
        }
        supervisor::put_before(&mut command, report.into());
        let mut command = tokio::process::Command::from(command);
        let mut child = command.spawn()?;
        // With it goes our end of the report.
        drop(command);
        let absent = || io::Error::other("a standard stream is no pipe");
        let stdout = child.stdout.take().ok_or_else(absent)?;
        let stderr = child.stderr.take().ok_or_else(absent)?;
        let report = pipe::Receiver::from_owned_fd(status.into())?;
        let (end, (leave, gone)) = (Arc::new(Notify::new()), watch::channel(false));
        tokio::spawn(supervise(child, end.clone(), leave));
        let ending = TreeEnd { report, gone: gone.clone() };
        Ok((Self { end, gone }, ProcessTreeOutput { stdout, stderr, ending }))
    }

    /// Ends all of them, and waits until they are gone. How long that may take is for the caller to say.
    pub async fn end(&self) {
        self.end.notify_one();
        // An error means that the runtime is at its end, and with it the thread.
        let _ = self.gone.clone().wait_for(|gone| *gone).await;
    }

    /// Whether all of them have ended.
    pub fn is_gone(&self) -> bool {
        *self.gone.borrow()
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        self.end.notify_one();
    }
}

impl TreeEnd {
    /// Waits for it, once.
    ///
    /// # Errors
    /// Nobody knows how it ended: its supervisor was killed.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let mut record = [0; supervisor::RECORD];
        self.report.read_exact(&mut record).await?;
        let [status @ .., left] = record;
        if left == 0 {
            // The supervisor, which goes as well: then there is nobody.
            let _ = self.gone.wait_for(|gone| *gone).await;
        }
        Ok(ExitStatus::from_raw(i32::from_ne_bytes(status)))
    }
}

/// Waits for the supervisor, and has it end everybody when that is wanted.
async fn supervise(mut supervisor: Child, end: Arc<Notify>, leave: watch::Sender<bool>) {
    let wanted = tokio::select! {
        _ = supervisor.wait() => false,
        () = end.notified() => true,
    };
    if wanted {
        // It has not been waited for, so the number is still its own.
        if let Some(pid) = supervisor.id() {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        let _ = supervisor.wait().await;
    }
    leave.send_replace(true);
}
