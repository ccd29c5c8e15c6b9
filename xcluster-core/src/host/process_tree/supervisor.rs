//! The process between an owner and a program. It adopts the program's orphaned descendants and reports how the program
//! ended. At SIGTERM, which is also its death signal, it kills until no process is left. It was forked from a process with
//! threads, so it only makes system calls on existing values.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::sys::prctl::{set_child_subreaper, set_pdeathsig};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::stat::Mode;
use nix::unistd::{ForkResult, Pid, fork, getpid, getppid, read, setpgid};

/// The children of the calling thread (proc_tid_children(5)).
const CHILDREN: &CStr = c"/proc/thread-self/children";

/// The bytes of a report: the status of wait(2), and whether processes are left.
pub(super) const RECORD: usize = 5;

/// How soon the supervisor looks again for processes to kill, in nanoseconds. A process that forks all the time may have a
/// new child before the end of the old one is seen.
const AGAIN: libc::c_long = 20_000_000;

/// Puts a supervisor between the calling thread and the program of this command. It writes the program's status, as of
/// wait(2), to `report`.
pub(super) fn put_before(command: &mut Command, report: OwnedFd) {
    let starter = getpid();
    let split = move || split(report.as_raw_fd(), starter);
    // SAFETY: between fork and exec only system calls are made, on values that exist already. The fork in there is of a
    // process with one thread.
    unsafe { command.pre_exec(split) };
}

/// Forks; the child becomes the program.
fn split(report: RawFd, starter: Pid) -> io::Result<()> {
    // A process group, so that Ctrl-C in a terminal only reaches the owner.
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    set_child_subreaper(true)?;
    // From here on signals are waited for, so that none is missed and no handler of the owner runs.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: no handler, so nothing runs. If SIGCHLD is ignored, children cannot be waited for.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    set_pdeathsig(Signal::SIGTERM)?;
    // The owner may have died before the signal was asked for.
    if getppid() != starter {
        return Err(io::ErrorKind::BrokenPipe.into());
    }
    let supervisor = getpid();
    // SAFETY: this process has one thread.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => keep(child, report),
        ForkResult::Child => {
            // Signals that the program sends to its own group must not reach the supervisor.
            setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            before.thread_set_mask()?;
            set_pdeathsig(Signal::SIGKILL)?;
            if getppid() == supervisor { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        }
    }
}

/// The code that runs in the supervisor.
fn keep(program: Pid, report: RawFd) -> ! {
    // Inherited descriptors are closed: the starter waits for the end of one of them, to see that the program has begun.
    // SAFETY: system calls without pointers; nothing of this process uses another descriptor any more.
    unsafe {
        libc::dup2(report, 0);
        libc::close_range(1, libc::c_uint::MAX, 0);
    }
    let mut ending = false;
    while reap(program) && !(ending && none_can_be_killed(program)) {
        ending |= wait_for_signal(ending) == libc::SIGTERM;
    }
    // SAFETY: it ends this process.
    unsafe { libc::_exit(0) }
}

/// Reaps all children that have ended. Returns whether any are left.
fn reap(program: Pid) -> bool {
    let mut ended = None;
    let left = loop {
        let mut status = 0;
        // SAFETY: the pointer is to a value of this frame.
        match unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) } {
            0 => break true,
            -1 if Errno::last() == Errno::EINTR => {}
            -1 => break false,
            pid if pid == program.as_raw() => ended = Some(status),
            _ => {}
        }
    };
    if let Some(status) = ended {
        tell(status, left);
    }
    left
}

/// Reports how the program ended, and whether processes are left.
fn tell(status: libc::c_int, left: bool) {
    let mut record = [0; RECORD];
    record[..4].copy_from_slice(&status.to_ne_bytes());
    record[4] = left.into();
    // SAFETY: the pointer is to a value of this frame, of the length given. If the reader has gone, the write fails: its
    // signal is blocked.
    unsafe {
        libc::write(0, record.as_ptr().cast(), record.len());
        libc::close(0);
    }
}

/// Waits for the end of a child or for the request to end; only briefly once that has come.
fn wait_for_signal(ending: bool) -> libc::c_int {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    set.add(Signal::SIGTERM);
    let moment = libc::timespec { tv_sec: 0, tv_nsec: AGAIN };
    let limit = if ending { &raw const moment } else { std::ptr::null() };
    // SAFETY: the pointers are to values of this frame, or null, which is no limit and no interest in details.
    unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), limit) }
}

/// Kills all children; their children then become children of this process. True if there are some and all of them belong to
/// other users.
fn none_can_be_killed(program: Pid) -> bool {
    let Ok(list) = open(CHILDREN, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) else {
        // The kernel does not list them: then at least those in the program's process group.
        return !kill(-program.as_raw());
    };
    let (mut seen, mut killed, mut pid) = (false, false, 0);
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = read(&list, &mut buffer) {
        for byte in &buffer[..length] {
            if byte.is_ascii_digit() {
                pid = pid * 10 + libc::pid_t::from(byte - b'0');
            } else if pid > 0 {
                seen = true;
                killed |= kill(pid);
                pid = 0;
            }
        }
    }
    seen && !killed
}

fn kill(pid: libc::pid_t) -> bool {
    // SAFETY: a system call without pointers. The number is that of a child that was not waited for, or of its group.
    unsafe { libc::kill(pid, libc::SIGKILL) == 0 }
}
