//! Isolating programs that start others. A death signal does not reach those, so the program gets a pid namespace: the kernel
//! kills all of it when its first process ends.
//!
//! ```text
//! owner's thread ── supervisor ── first process of the pid namespace ── the program ── whatever it starts
//!         death signal     death signal              the kernel ends everything in there
//! ```

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getppid, setpgid};

use super::{NamespaceEntry, privileges};

impl NamespaceEntry {
    /// Makes a program run in a pid namespace, within the user namespace of this entry. The program and all that it starts
    /// end when it ends, when its process is killed, or when the *thread* that started it ends.
    ///
    /// Without a user namespace, only root may do this.
    ///
    /// # Errors
    /// A path contains a zero byte.
    pub fn isolate(self, command: &mut Command, net: IsolatedNet<'_>) -> io::Result<()> {
        let starter = nix::unistd::getpid();
        let shown = match net {
            IsolatedNet::Entered => None,
            IsolatedNet::ShownAt(path) => Some(Shown {
                net: CString::new(format!("/proc/self/fd/{}", self.net.as_raw_fd()))?,
                at: CString::new(path.as_os_str().as_bytes())?,
            }),
        };
        let isolated = move || {
            go(&self, shown.as_ref(), starter)?;
            // Only the program itself returns from this.
            if self.user.is_some() { privileges::make_ambient().map_err(io::Error::from) } else { Ok(()) }
        };
        // SAFETY: between fork and exec only system calls are made, on values that exist already. The forks in there are of
        // a process with one thread.
        unsafe { command.pre_exec(isolated) };
        Ok(())
    }
}

/// How an isolated program uses the network namespace.
#[derive(Debug, Clone, Copy)]
pub enum IsolatedNet<'a> {
    /// It runs in it.
    Entered,
    /// It stays out of it and opens it at this path, an existing file. No other program sees it there.
    ShownAt(&'a Path),
}

/// The file of the network namespace, and the path to show it at.
struct Shown {
    net: CString,
    at: CString,
}

fn go(inside: &NamespaceEntry, shown: Option<&Shown>, starter: Pid) -> io::Result<()> {
    // A process group, so that Ctrl-C in a terminal only reaches the owner.
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    if let Some(user) = &inside.user {
        setns(user.as_fd(), CloneFlags::CLONE_NEWUSER)?;
    }
    match shown {
        None => setns(inside.net.as_fd(), CloneFlags::CLONE_NEWNET)?,
        Some(shown) => show(shown)?,
    }
    // After the user namespace, which clears it.
    die_with(starter)?;
    unshare(CloneFlags::CLONE_NEWPID)?;
    let supervisor = nix::unistd::getpid();
    split(Some(supervisor))?;
    split(None)
}

/// Binds the network namespace to a file, in a mount namespace that ends with its processes.
fn show(shown: &Shown) -> nix::Result<()> {
    const NOTHING: Option<&CStr> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NOTHING, c"/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)?;
    mount(Some(shown.net.as_c_str()), shown.at.as_c_str(), NOTHING, MsFlags::MS_BIND, NOTHING)
}

/// Forks. The child goes on; the parent waits for it and exits with its status.
fn split(parent: Option<Pid>) -> io::Result<()> {
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => keep(child),
        // In a new pid namespace, the ID of a parent outside is seen as 0.
        ForkResult::Child => match parent {
            Some(_) => die_with(Pid::from_raw(0)),
            None => die_with(Pid::from_raw(1)),
        },
    }
}

/// Asks for the death signal of the parent, which may have died before.
fn die_with(parent: Pid) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// Waits for a child and for orphans, which a pid namespace hands to its first process. Exits as the child did.
fn keep(child: Pid) -> ! {
    // Inherited descriptors are closed: the starter waits for the end of one of them, to see that the program has begun.
    // SAFETY: a system call without pointers; nothing of this process uses a descriptor any more.
    unsafe { libc::close_range(0, libc::c_uint::MAX, 0) };
    let code = loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => break code,
            // As shells report a signal.
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => break 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => break 255,
        }
    };
    // SAFETY: it ends this process, as is wanted.
    unsafe { libc::_exit(code) }
}
