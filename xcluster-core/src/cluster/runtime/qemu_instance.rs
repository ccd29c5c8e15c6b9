//! One running QEMU: its process, and its monitor, console and agent at the other ends of descriptors.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use tokio::net::UnixStream;
use tokio::sync::{Notify, watch};

use super::console::{ConsoleHub, ConsoleLog};
use crate::cluster::error::NodeFailure;
use crate::guest::AGENT_PORT;
use crate::guest::AnyAgent;
use crate::net::KvmArgs;
use crate::qemu::command::{AGENT, CONSOLE, INITRAMFS, MONITOR, Machine};
use crate::qemu::process::{Launch, Process, Stderr, describe, is_crash, qemu_netns_of};
use crate::qemu::qmp::Qmp;

/// How long QEMU may take to greet on its monitor. It does so before it loads anything, but a host may be busy.
const GREETING: Duration = Duration::from_secs(30);

/// How to start a QEMU; it can be started again.
#[derive(Debug, Clone)]
pub(super) struct QemuLaunch {
    pub(super) program: PathBuf,
    pub(super) machine: Machine,
    pub(super) initramfs: Option<Arc<OwnedFd>>,
    /// Where the console is logged.
    pub(super) console_log: ConsoleLog,
}

/// A QEMU that runs, or has run.
#[derive(Debug)]
pub(super) struct QemuInstance {
    pid: u32,
    monitor: RefCell<Option<UnixStream>>,
    qmp: RefCell<Option<Qmp>>,
    console: ConsoleHub,
    agent: Option<AnyAgent>,
    stderr: Stderr,
    /// Why QEMU shut the guest down, as it reports: `guest-panic`, `guest-shutdown`….
    shutdown_reason: Rc<RefCell<Option<String>>>,
    exit: watch::Receiver<Option<Exit>>,
    kill: Rc<Notify>,
}

/// The end of a QEMU.
#[derive(Debug, Clone)]
struct Exit {
    how: String,
    /// By a fault of QEMU, such as SIGSEGV.
    crashed: bool,
}

impl QemuInstance {
    /// Starts it, on the cluster's thread. It waits for nothing, so that the caller can keep the value first and stop the
    /// process whatever happens then.
    pub(super) fn start(launch: QemuLaunch) -> Result<Self, NodeFailure> {
        let QemuLaunch { program, machine, initramfs, console_log } = launch;
        let (monitor, monitor_end) = pair().map_err(NodeFailure::Spawn)?;
        let (console, console_end) = pair().map_err(NodeFailure::Spawn)?;
        let mut descriptors = descriptors_of(&machine.nics).map_err(NodeFailure::Spawn)?;
        descriptors.insert(MONITOR.to_owned(), monitor_end);
        descriptors.insert(CONSOLE.to_owned(), console_end);
        if let Some(initramfs) = initramfs {
            descriptors.insert(INITRAMFS.to_owned(), initramfs.try_clone().map_err(NodeFailure::Spawn)?);
        }
        let mut agent = None;
        if let Some(port) = machine.agent {
            let (stream, end) = pair().map_err(NodeFailure::Spawn)?;
            descriptors.insert(AGENT.to_owned(), end);
            agent = Some(if port == AGENT_PORT { AnyAgent::own(stream) } else { AnyAgent::qga(stream) });
        }
        let launch = Launch { program, args: machine.args(), descriptors, place: qemu_netns_of(&machine.nics) };
        let process = Process::start(launch).map_err(NodeFailure::Spawn)?;

        let (pid, stderr) = (process.pid(), process.stderr());
        let (exited, exit) = watch::channel(None);
        let kill = Rc::new(Notify::new());
        tokio::task::spawn_local(supervise(process, kill.clone(), exited));
        let console = ConsoleHub::new(console, console_log);
        let (monitor, qmp) = (RefCell::new(Some(monitor)), RefCell::default());
        Ok(Self { pid, monitor, qmp, console, agent, stderr, shutdown_reason: Rc::default(), exit, kill })
    }

    /// Waits until QEMU's monitor answers, which it does when all args were understood and the guest runs.
    pub(super) async fn greet(&self) -> Result<(), NodeFailure> {
        let Some(stream) = self.monitor.borrow_mut().take() else { return Ok(()) };
        let connected = Qmp::connect(stream, GREETING).await;
        let (qmp, mut events) = connected.map_err(|error| NodeFailure::Monitor(error.into()))?;
        let shutdown_reason = self.shutdown_reason.clone();
        tokio::task::spawn_local(async move {
            if let Some(event) = events.wait_for("SHUTDOWN").await
                && let Some(reason) = event.data["reason"].as_str()
            {
                *shutdown_reason.borrow_mut() = Some(reason.to_owned());
            }
        });
        *self.qmp.borrow_mut() = Some(qmp);
        Ok(())
    }

    /// QEMU's monitor, once it has answered.
    pub(super) fn qmp(&self) -> Option<Qmp> {
        self.qmp.borrow().clone()
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn runs(&self) -> bool {
        self.exit.borrow().is_none()
    }

    pub(super) fn console(&self) -> &ConsoleHub {
        &self.console
    }

    pub(super) fn agent(&self) -> Option<&AnyAgent> {
        self.agent.as_ref()
    }

    /// The end of QEMU's standard error.
    pub(super) fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Whether it has ended by a fault of QEMU, such as SIGSEGV.
    pub(super) fn crashed(&self) -> bool {
        self.exit.borrow().as_ref().is_some_and(|exit| exit.crashed)
    }

    /// Waits for its end and describes it.
    pub(super) async fn exited(&self) -> String {
        let mut exit = self.exit.clone();
        let how = match exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.as_ref().map(|exit| exit.how.clone()).unwrap_or_default(),
            Err(_) => "ended".to_owned(),
        };
        match self.shutdown_reason.borrow().as_deref() {
            Some(reason) => format!("{how} ({reason})"),
            None => how,
        }
    }

    /// Kills it as a fault would (SIGKILL). Its end is reported like any other.
    pub(super) fn crash(&self) {
        if self.runs() {
            // Not reaped yet, so the number is still its own; an error means that it is ending already.
            let _ = nix::sys::signal::kill(Pid::from_raw(self.pid.cast_signed()), Signal::SIGKILL);
        }
    }

    /// Kills it and waits until it is gone.
    pub(super) async fn kill(&self) {
        self.kill.notify_one();
        self.exited().await;
    }
}

async fn supervise(mut process: Process, kill: Rc<Notify>, exited: watch::Sender<Option<Exit>>) {
    let exit = tokio::select! {
        status = process.wait() => match status {
            Ok(status) => Exit { how: describe(status), crashed: is_crash(status) },
            Err(error) => Exit { how: format!("cannot be waited for: {error}"), crashed: false },
        },
        () = kill.notified() => {
            process.kill().await;
            Exit { how: "was stopped".to_owned(), crashed: false }
        }
    };
    exited.send_replace(Some(exit));
}

/// A stream for us and the descriptor of its other end for QEMU.
fn pair() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs.into()))
}

fn descriptors_of(nics: &[KvmArgs]) -> io::Result<BTreeMap<String, OwnedFd>> {
    let all = nics.iter().flat_map(|nic| nic.descriptors());
    all.map(|(name, descriptor)| Ok((name.clone(), descriptor.try_clone()?))).collect()
}
