//! The process between an owner and a program. It adopts whoever of the program's descendants loses a parent, tells how the
//! program ended, and at SIGTERM, which is also its death signal, kills until nobody is left. A few system calls on values
//! that exist already: it was forked from a process with threads.

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

/// How many bytes a report has: what wait(2) says, and whether anybody is left.
pub(super) const RECORD: usize = 5;

/// How soon the supervisor looks again for somebody to kill, in nanoseconds: a process that forks all the time may have a new
/// child before the old one's end is heard of.
const AGAIN: libc::c_long = 20_000_000;

/// Puts a supervisor between the calling thread and the program of this command. How the program ends is written to `report`,
/// as wait(2) says it.
pub(super) fn put_before(command: &mut Command, report: OwnedFd) {
    let starter = getpid();
    let split = move || split(report.as_raw_fd(), starter);
    // SAFETY: between fork and exec only system calls are made, on values that exist already. The fork in there is of a
    // process with one thread.
    unsafe { command.pre_exec(split) };
}

/// Forks: the child goes on to be the program.
fn split(report: RawFd, starter: Pid) -> io::Result<()> {
    // A group of its own: Ctrl-C in a terminal is for the owner.
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    set_child_subreaper(true)?;
    // From here on signals are waited for, so that none is missed; those of the owner's handlers least of all.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: no handler, so nothing runs. Where the ends of children are ignored, nobody could wait for them.
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
            // What it sends to its own group is not for the supervisor.
            setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
            before.thread_set_mask()?;
            set_pdeathsig(Signal::SIGKILL)?;
            if getppid() == supervisor { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        }
    }
}

/// All of the supervisor.
fn keep(program: Pid, report: RawFd) -> ! {
    // Nobody is to wait for the end of anything else that is open here, least of all who started the program, for its
    // beginning.
    // SAFETY: system calls without pointers; nothing of this process uses another descriptor any more.
    unsafe {
        libc::dup2(report, 0);
        libc::close_range(1, libc::c_uint::MAX, 0);
    }
    let mut ending = false;
    while reap(program) && !(ending && nobody_can_be_killed(program)) {
        ending |= wait_for_signal(ending) == libc::SIGTERM;
    }
    // SAFETY: it ends this process, as is wanted.
    unsafe { libc::_exit(0) }
}

/// Takes note of all who have ended. Whether anybody is left.
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

/// Tells the owner how the program ended, and whether somebody is left.
fn tell(status: libc::c_int, left: bool) {
    let mut record = [0; RECORD];
    record[..4].copy_from_slice(&status.to_ne_bytes());
    record[4] = left.into();
    // SAFETY: the pointer is to a value of this frame, of the length that is said. Who cannot hear this has gone, and the
    // signal for that is blocked.
    unsafe {
        libc::write(0, record.as_ptr().cast(), record.len());
        libc::close(0);
    }
}

/// Waits until a child has ended or everybody shall; for a moment only if they shall already.
fn wait_for_signal(ending: bool) -> libc::c_int {
    let mut set = SigSet::empty();
    set.add(Signal::SIGCHLD);
    set.add(Signal::SIGTERM);
    let moment = libc::timespec { tv_sec: 0, tv_nsec: AGAIN };
    let limit = if ending { &raw const moment } else { std::ptr::null() };
    // SAFETY: the pointers are to values of this frame, or null, which is no limit and no interest in details.
    unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), limit) }
}

/// Kills all children, whose own then become children of this process. True if there are some and all are somebody else's
/// to kill.
fn nobody_can_be_killed(program: Pid) -> bool {
    let Ok(list) = open(CHILDREN, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()) else {
        // A kernel that does not say: then at least those who are still in the program's group.
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
