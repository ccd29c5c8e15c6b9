//! A program with everything that it starts. All of it ends together, including processes that left its group and session.
//! This takes no privilege and no namespace, so the program sees what its user sees.
//!
//! ```text
//! owner's thread ── supervisor ── the program ── whatever it starts
//!         death signal     orphans become the supervisor's children
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

/// Makes a program that starts no others end with the calling *thread*. Add an entry to a namespace before this.
pub fn end_with_thread(command: &mut Command) {
    let starter = nix::unistd::getpid();
    let before_exec = move || {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
        // The parent may have died before the signal was asked for.
        if nix::unistd::getppid() != starter {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // A process group, so that Ctrl-C in a terminal only reaches the owner.
        Ok(nix::unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0))?)
    };
    // SAFETY: between fork and exec only system calls are made, on values that exist already.
    unsafe { command.pre_exec(before_exec) };
}

/// A program with everything that it has started. Dropping it ends all of them.
///
/// A process that became another user's, for example by `sudo`, cannot be killed and goes on.
#[derive(Debug)]
pub struct ProcessTree {
    end: Arc<Notify>,
    gone: watch::Receiver<bool>,
}

/// The ends of the pipes that a program writes to.
#[derive(Debug)]
#[non_exhaustive]
pub struct ProcessTreeOutput {
    /// Its standard output. It ends when all processes that have it open have closed it.
    pub stdout: ChildStdout,
    /// Its standard error.
    pub stderr: ChildStderr,
    /// The end of the program.
    pub ending: TreeEnd,
}

/// The end of a program, whether or not processes that it started go on.
#[derive(Debug)]
pub struct TreeEnd {
    report: pipe::Receiver,
    gone: watch::Receiver<bool>,
}

impl ProcessTree {
    /// Starts a program with an empty standard input, in a namespace if one is given. The tree ends with the calling
    /// *thread*, which must be in a tokio runtime.
    ///
    /// # Errors
    /// The program cannot be executed.
    pub fn start(mut command: Command, inside: Option<NamespaceEntry>) -> io::Result<(Self, ProcessTreeOutput)> {
        let (status, report) = io::pipe()?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(inside) = inside {
            inside.enter(&mut command);
        }
        supervisor::put_before(&mut command, report.into());
        let mut command = tokio::process::Command::from(command);
        let mut child = command.spawn()?;
        // This closes our end of the report.
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

    /// Ends all processes and waits until they are gone. The caller sets a deadline.
    pub async fn end(&self) {
        self.end.notify_one();
        // It fails if the runtime ends, and the thread with it.
        let _ = self.gone.clone().wait_for(|gone| *gone).await;
    }

    /// Whether all processes have ended.
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
    /// Waits for the end, once.
    ///
    /// # Errors
    /// The supervisor was killed, so the exit status is unknown.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let mut record = [0; supervisor::RECORD];
        self.report.read_exact(&mut record).await?;
        let [status @ .., left] = record;
        if left == 0 {
            // The supervisor ends last.
            let _ = self.gone.wait_for(|gone| *gone).await;
        }
        Ok(ExitStatus::from_raw(i32::from_ne_bytes(status)))
    }
}

/// Waits for the supervisor, and makes it end the tree on request.
async fn supervise(mut supervisor: Child, end: Arc<Notify>, leave: watch::Sender<bool>) {
    let wanted = tokio::select! {
        _ = supervisor.wait() => false,
        () = end.notified() => true,
    };
    if wanted {
        // The supervisor has not been reaped, so its process ID is still its own.
        if let Some(pid) = supervisor.id() {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM);
        }
        let _ = supervisor.wait().await;
    }
    leave.send_replace(true);
}
