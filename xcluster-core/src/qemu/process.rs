//! A QEMU process. It dies with the thread that started it, and the end of its standard error is kept.

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

/// How much of the end of QEMU's standard error is kept, in bytes. Its messages are short, and the last ones are important.
const STDERR_TAIL: usize = 8 * 1024;

/// How long to wait for the rest of standard error after the process has ended.
const DRAIN: Duration = Duration::from_secs(1);

/// The arguments for starting a QEMU.
#[derive(Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its args, which contain descriptors as `@name@`.
    pub args: Vec<String>,
    /// The descriptors, by name.
    pub descriptors: BTreeMap<String, OwnedFd>,
    /// The network namespace to run it in.
    pub place: QemuNetns,
}

/// A running QEMU. Dropping the value kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: u32,
    stderr: Stderr,
    drain: JoinHandle<()>,
}

impl Process {
    /// Starts QEMU. It dies when the calling *thread* ends, so the thread must live as long as the cluster. Must be called in a
    /// `LocalSet`.
    ///
    /// # Errors
    /// The program cannot be run, or the namespace cannot be entered.
    pub fn start(launch: Launch) -> io::Result<Self> {
        // Named descriptors get the numbers from 3, in the order of their names.
        let numbers: Vec<(&str, i32)> = launch.descriptors.keys().map(String::as_str).zip(3..).collect();
        let args: Vec<String> =
            launch.args.iter().map(|arg| number_descriptors(arg, numbers.iter().copied())).collect();
        let mut command = std::process::Command::new(&launch.program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        enter_netns(&mut command, &launch.place)?;
        // After the namespace: entering a user namespace clears the death signal of a process.
        end_with_thread(&mut command);
        // After the namespace: the mapped numbers may include the descriptor of the namespace.
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
    /// The operating system cannot wait for the process.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await?;
        // The last messages may still be in the pipe. The timeout is needed because a child of QEMU could keep the pipe open.
        if !self.drain.is_finished() {
            let _ = timeout(DRAIN, &mut self.drain).await;
        }
        Ok(status)
    }

    /// Kills it and waits until it is gone.
    pub async fn kill(&mut self) {
        // An error means that the process has already ended.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }

    /// The end of its standard error, also after it has ended.
    pub fn stderr(&self) -> Stderr {
        self.stderr.clone()
    }
}

/// The end of a process's standard error.
#[derive(Debug, Clone, Default)]
pub struct Stderr(Rc<RefCell<VecDeque<u8>>>);

impl Stderr {
    /// The text so far.
    pub fn text(&self) -> String {
        let tail = self.0.borrow();
        let (a, b) = tail.as_slices();
        String::from_utf8_lossy(&[a, b].concat()).trim_end().to_owned()
    }
}

/// Returns the network namespace in which a QEMU with these NICs must run.
pub fn qemu_netns_of<'a>(nics: impl IntoIterator<Item = &'a KvmArgs>) -> QemuNetns {
    let elsewhere = nics.into_iter().map(KvmArgs::qemu_netns).find(|place| **place != QemuNetns::Here);
    elsewhere.cloned().unwrap_or_default()
}

/// Makes QEMU enter a network namespace.
fn enter_netns(command: &mut std::process::Command, place: &QemuNetns) -> io::Result<()> {
    match place {
        QemuNetns::Here => {}
        // A caller that may enter a namespace by its file needs no user namespace.
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

/// Describes how a process ended: "ended with code 1", "was killed by SIGKILL".
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

/// Whether a process crashed: whether a signal ended it that the kernel or `abort` sends for an error of the process itself.
pub fn is_crash(status: ExitStatus) -> bool {
    let signal = status.signal().and_then(|number| Signal::try_from(number).ok());
    matches!(signal, Some(Signal::SIGSEGV | Signal::SIGBUS | Signal::SIGILL | Signal::SIGFPE | Signal::SIGABRT))
}

/// Finds a program like a shell: a name with a slash is a path, any other name is looked up in `PATH`.
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
