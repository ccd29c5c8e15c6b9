//! A QEMU process: it dies with the thread that started it, and the end of what it said is kept.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::rc::Rc;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use nix::sys::signal::Signal;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::command::number_descriptors;
use crate::host::end_with_thread;
use crate::host::namespace::NamespaceEntry;
use crate::net::{KvmArgs, QemuNetns};

/// How much of the end of QEMU's standard error is kept, in bytes: its messages are short, and the last ones matter.
const STDERR_TAIL: usize = 8 * 1024;

/// How long the rest of standard error is waited for after the process has ended.
const DRAIN: Duration = Duration::from_secs(1);

/// What is to be started.
#[derive(Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its args, with descriptors as `@name@`.
    pub args: Vec<String>,
    /// The descriptors, by name.
    pub descriptors: BTreeMap<String, OwnedFd>,
    /// The network namespace that it must run in.
    pub place: QemuNetns,
}

/// A QEMU that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: u32,
    stderr: Stderr,
    drain: JoinHandle<()>,
}

impl Process {
    /// Starts it. It dies when the calling *thread* ends, so this thread must live as long as the cluster; must run in a
    /// `LocalSet`.
    ///
    /// # Errors
    /// The program cannot be run, or its namespace cannot be entered.
    pub fn start(launch: Launch) -> io::Result<Self> {
        // Named descriptors get the numbers after standard error, in the order of their names.
        let numbers: Vec<(&str, i32)> = launch.descriptors.keys().map(String::as_str).zip(3..).collect();
        let args: Vec<String> =
            launch.args.iter().map(|arg| number_descriptors(arg, numbers.iter().copied())).collect();
        let mut command = std::process::Command::new(&launch.program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        go_to(&mut command, &launch.place)?;
        // After a user namespace was entered, which makes a process forget its death signal.
        end_with_thread(&mut command);
        // After the namespace was entered: the numbers that are mapped may include that of its file.
        let mappings = launch.descriptors.into_values().zip(3..);
        let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd }).collect();
        command.fd_mappings(mappings).map_err(io::Error::other)?;
        let mut command = Command::from(command);
        let mut child = command.kill_on_drop(true).spawn()?;
        let pid = child.id().ok_or_else(|| io::Error::other("the process ended before it began"))?;
        let stderr = Stderr::default();
        let pipe = child.stderr.take().ok_or_else(|| io::Error::other("standard error is no pipe"))?;
        let drain = tokio::task::spawn_local(keep_tail(pipe, stderr.clone()));
        Ok(Self { child, pid, stderr, drain })
    }

    /// Its process id.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The operating system said no.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // What it said last may still be in the pipe; a child of its own could keep that open, hence the limit.
        if !self.drain.is_finished() {
            let _ = timeout(DRAIN, &mut self.drain).await;
        }
        Ok(status)
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }

    /// The end of what it says on standard error, also after it has ended.
    pub fn stderr(&self) -> Stderr {
        self.stderr.clone()
    }
}

/// The end of what a process says on standard error.
#[derive(Debug, Clone, Default)]
pub struct Stderr(Rc<RefCell<VecDeque<u8>>>);

impl Stderr {
    /// As text, so far.
    pub fn text(&self) -> String {
        let tail = self.0.borrow();
        let (a, b) = tail.as_slices();
        String::from_utf8_lossy(&[a, b].concat()).trim_end().to_owned()
    }
}

/// Where a QEMU with all of these NICs runs.
pub fn qemu_netns_of<'a>(nics: impl IntoIterator<Item = &'a KvmArgs>) -> QemuNetns {
    let elsewhere = nics.into_iter().map(KvmArgs::qemu_netns).find(|place| **place != QemuNetns::Here);
    elsewhere.cloned().unwrap_or_default()
}

/// Has QEMU enter a network namespace.
fn go_to(command: &mut std::process::Command, place: &QemuNetns) -> io::Result<()> {
    match place {
        QemuNetns::Here => {}
        // Whoever may enter it has no need of another user namespace.
        QemuNetns::File(netns) => NamespaceEntry::new(None, std::fs::File::open(netns)?.into()).enter(command),
        QemuNetns::Inside(inside) => inside.try_clone()?.enter(command),
    }
    Ok(())
}

impl Drop for Process {
    fn drop(&mut self) {
        self.drain.abort();
    }
}

async fn keep_tail(mut pipe: impl tokio::io::AsyncRead + Unpin, tail: Stderr) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let mut tail = tail.0.borrow_mut();
        tail.extend(&buffer[..count]);
        let excess = tail.len().saturating_sub(STDERR_TAIL);
        tail.drain(..excess);
    }
}

/// How a process ended, for people: "ended with code 1", "was killed by signal 9 (SIGKILL)".
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(number)) => match Signal::try_from(number) {
            Ok(signal) => format!("was killed by {signal}"),
            Err(_) => format!("was killed by signal {number}"),
        },
        (None, None) => "ended".to_owned(),
    }
}

/// Whether a process was ended by a fault of its own: a signal that the kernel or `abort` sends for one, and not what
/// people or the kernel send to whatever process is in their way.
pub fn is_crash(status: ExitStatus) -> bool {
    let signal = status.signal().and_then(|number| Signal::try_from(number).ok());
    matches!(signal, Some(Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL | Signal::SIGFPE | Signal::SIGABRT))
}

/// Finds a program as a shell does: a name with a slash is a path, any other is looked up in `PATH`.
pub fn find_program(name: &Path) -> Option<PathBuf> {
    let executable = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|meta| meta.is_file())
            && nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
    };
    if name.components().count() > 1 {
        return executable(name).then(|| name.to_owned());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|candidate| executable(candidate))
}
