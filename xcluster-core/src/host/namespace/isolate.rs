//! Programs that start others of their own: a death signal does not reach those, so that such a program gets a pid namespace,
//! which the kernel empties when its first process ends. Starts none itself.
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
    /// Has a program run in a pid namespace of its own, within the user namespace of this one: it and all that it starts end
    /// when it ends, when its process is killed, and when the *thread* that started it ends.
    ///
    /// Where there is no user namespace, only root may.
    ///
    /// # Errors
    /// A path has a zero in it.
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
            // What comes back is the program itself.
            if self.user.is_some() { privileges::make_ambient().map_err(io::Error::from) } else { Ok(()) }
        };
        // SAFETY: between fork and exec only system calls are made, on values that exist already. The forks in there are of
        // a process with one thread.
        unsafe { command.pre_exec(isolated) };
        Ok(())
    }
}

/// What a contained program has to do with the network namespace.
#[derive(Debug, Clone, Copy)]
pub enum IsolatedNet<'a> {
    /// It runs in it.
    Entered,
    /// It stays out of it and finds it at this path, a file that is there: nobody else does.
    ShownAt(&'a Path),
}

/// The file of the network namespace, and where it is to be found.
struct Shown {
    net: CString,
    at: CString,
}

fn go(inside: &NamespaceEntry, shown: Option<&Shown>, starter: Pid) -> io::Result<()> {
    // A group of its own: Ctrl-C in a terminal is for the owner.
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    if let Some(user) = &inside.user {
        setns(user.as_fd(), CloneFlags::CLONE_NEWUSER)?;
    }
    match shown {
        None => setns(inside.net.as_fd(), CloneFlags::CLONE_NEWNET)?,
        Some(shown) => show(shown)?,
    }
    // After the user namespace, which makes a process forget it.
    die_with(starter)?;
    unshare(CloneFlags::CLONE_NEWPID)?;
    let supervisor = nix::unistd::getpid();
    split(Some(supervisor))?;
    split(None)
}

/// Binds the network namespace to a file, in a mount namespace that goes with whoever is in it.
fn show(shown: &Shown) -> nix::Result<()> {
    const NOTHING: Option<&CStr> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(NOTHING, c"/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING)?;
    mount(Some(shown.net.as_c_str()), shown.at.as_c_str(), NOTHING, MsFlags::MS_BIND, NOTHING)
}

/// Forks: the child goes on, and the parent waits for it and ends as it does.
fn split(parent: Option<Pid>) -> io::Result<()> {
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => keep(child),
        // In a new pid namespace a parent outside has no number, and 0 is what is seen of it.
        ForkResult::Child => match parent {
            Some(_) => die_with(Pid::from_raw(0)),
            None => die_with(Pid::from_raw(1)),
        },
    }
}

/// Asks for the death signal of a parent, which may have died before.
fn die_with(parent: Pid) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
}

/// Waits for a child, and for whatever the kernel hands over in a pid namespace, and ends as the child did.
fn keep(child: Pid) -> ! {
    // Nobody is to wait for an end of these: least of all who started the program, for its beginning.
    // SAFETY: a system call without pointers; nothing of this process uses a descriptor any more.
    unsafe { libc::close_range(0, libc::c_uint::MAX, 0) };
    let code = loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => break code,
            // As shells say it.
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => break 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => break 255,
        }
    };
    // SAFETY: it ends this process, as is wanted.
    unsafe { libc::_exit(code) }
}
