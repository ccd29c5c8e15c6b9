//! The libc calls that std does not have. All unsafe code of the agent is here, except for the code between fork and exec.

use std::ffi::{c_int, c_long, c_short, c_uint, c_ulong, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub(crate) const SIGKILL: c_int = 9;
pub(crate) const EINVAL: c_int = 22;
pub(crate) const EISDIR: c_int = 21;

pub(crate) const POLLIN: c_short = 1;
pub(crate) const POLLOUT: c_short = 4;

const SIGPIPE: c_int = 13;
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;
const LAST_SIGNAL: c_int = 64;
const F_SETFD: c_int = 2;
const F_GETFL: c_int = 3;
const F_SETFL: c_int = 4;
const FD_CLOEXEC: c_int = 1;
const O_NONBLOCK: c_int = 0o4000;
const FIONREAD: c_ulong = 0x541B;
const SYS_PIDFD_OPEN: c_long = 434;
const AF_NETLINK: c_int = 16;
const SOCK_RAW: c_int = 3;
const SOCK_CLOEXEC: c_int = 0o2000000;
const NETLINK_KOBJECT_UEVENT: c_int = 15;

/// `struct pollfd`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct PollFd {
    pub(crate) fd: RawFd,
    pub(crate) events: c_short,
    pub(crate) revents: c_short,
}

/// `struct sockaddr_nl`.
#[repr(C)]
struct NetlinkAddress {
    family: u16,
    padding: u16,
    port: u32,
    groups: u32,
}

unsafe extern "C" {
    fn poll(fds: *mut PollFd, count: c_ulong, timeout: c_int) -> c_int;
    fn setsid() -> c_int;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn signal(number: c_int, handler: usize) -> usize;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn bind(fd: c_int, address: *const c_void, length: c_uint) -> c_int;
}

fn checked(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Waits until a descriptor is ready or the time is over. An interruption by a signal counts as a timeout.
pub(crate) fn wait(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<()> {
    // Rounded up: a deadline in 0.4 ms must not become a busy loop.
    let millis = timeout.map_or(-1, |time| c_int::try_from(time.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX));
    // SAFETY: the pointer and the count are those of one exclusive slice of `struct pollfd`.
    match checked(unsafe { poll(fds.as_mut_ptr(), fds.len() as c_ulong, millis) }) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// Resets all signals to their default action: a shell that starts the agent with `&` ignores SIGINT, and commands would inherit
/// that. SIGPIPE stays ignored; std resets it in child processes.
pub(crate) fn reset_signals() {
    for number in (1..=LAST_SIGNAL).filter(|number| *number != SIGPIPE) {
        // SAFETY: SIG_DFL runs none of our code; signals that cannot be set cause an error, which is ignored.
        unsafe { signal(number, SIG_DFL) };
    }
    // SAFETY: SIG_IGN runs none of our code.
    unsafe { signal(SIGPIPE, SIG_IGN) };
}

/// Makes the calling process the leader of a new session and process group.
pub(crate) fn new_session() -> io::Result<()> {
    // SAFETY: takes no arguments and touches no memory.
    checked(unsafe { setsid() }).map(drop)
}

/// Sends a signal to one process.
pub(crate) fn kill_process(pid: c_int, number: c_int) {
    // SAFETY: touches no memory. It is not an error if the process has already ended.
    unsafe { kill(pid, number) };
}

/// Sends a signal to a process group.
pub(crate) fn kill_group(leader: c_int, number: c_int) {
    kill_process(-leader, number);
}

/// Opens a descriptor that becomes readable when the process ends.
pub(crate) fn open_pidfd(pid: c_int) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes a pid and flags, and touches no memory.
    let fd = unsafe { syscall(SYS_PIDFD_OPEN, c_long::from(pid), 0 as c_long) };
    let fd = checked(c_int::try_from(fd).unwrap_or(-1))?;
    // SAFETY: the kernel has just made the descriptor (close-on-exec), and it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets whether reads and writes return at once.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    // SAFETY: F_GETFL takes no argument.
    let flags = checked(unsafe { fcntl(fd.as_raw_fd(), F_GETFL) })?;
    let flags = if nonblocking { flags | O_NONBLOCK } else { flags & !O_NONBLOCK };
    // SAFETY: F_SETFL takes an int.
    checked(unsafe { fcntl(fd.as_raw_fd(), F_SETFL, flags) }).map(drop)
}

/// Returns the number of bytes in a pipe.
pub(crate) fn pending(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: c_int = 0;
    // SAFETY: FIONREAD writes one int, which outlives the call.
    checked(unsafe { ioctl(fd.as_raw_fd(), FIONREAD, &raw mut count) })?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Takes ownership of an inherited descriptor.
pub(crate) fn inherited(fd: RawFd) -> io::Result<File> {
    // SAFETY: F_SETFD takes an int; a number that is not a descriptor is an error.
    checked(unsafe { fcntl(fd, F_SETFD, FD_CLOEXEC) })?;
    // SAFETY: the call above showed that it is open, and the parent process passed it to the agent by this number.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Opens a socket on which the kernel announces devices, one message per read.
pub(crate) fn device_events() -> io::Result<File> {
    // SAFETY: takes three numbers.
    let fd = checked(unsafe { socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT) })?;
    // SAFETY: the descriptor was just made and has no other owner.
    let socket = unsafe { File::from_raw_fd(fd) };
    let address = NetlinkAddress { family: AF_NETLINK as u16, padding: 0, port: 0, groups: 1 };
    // SAFETY: a `struct sockaddr_nl` and its size.
    checked(unsafe { bind(fd, (&raw const address).cast(), size_of::<NetlinkAddress>() as c_uint) })?;
    Ok(socket)
}
