//! A child process that lives for a few system calls. It enters namespaces, which a process with threads may not, opens files
//! or sockets there, sends them back and exits.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, write};

use super::privileges;
use crate::host::fd_passing::{self, BATCH_MAX};

/// The deadline of a child. Its system calls do not wait, but the host may be busy.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The namespaces that the child enters.
#[derive(Debug)]
pub(super) enum Target<'a> {
    /// These: first the user namespace, whose owner may then enter the network namespace.
    Existing {
        /// The user namespace, if it is not ours.
        user: Option<BorrowedFd<'a>>,
        /// The network namespace.
        net: BorrowedFd<'a>,
    },
    /// A new network namespace, in a new user namespace that maps the user and group to themselves.
    Fresh(&'a IdMaps),
    /// The same, owned by the user of the map. Needs privileges.
    FreshFor(&'a IdMaps),
    /// A new network namespace alone. Needs privileges.
    FreshNet,
}

/// The texts that map a user and a group to themselves (user_namespaces(7)), made before the fork.
#[derive(Debug)]
pub(super) struct IdMaps {
    uid: u32,
    gid: u32,
    user: CString,
    group: CString,
}

impl IdMaps {
    pub(super) fn identity() -> Self {
        Self::of(nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
    }

    pub(super) fn of(uid: u32, gid: u32) -> Self {
        let line = |id: u32| CString::new(format!("{id} {id} 1")).unwrap_or_default();
        Self { uid, gid, user: line(uid), group: line(gid) }
    }
}

/// What the child opens there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Open {
    /// The network namespace and the user namespace.
    Namespaces,
    /// A socket: family, type, protocol.
    Socket(i32, i32, i32),
    /// This many `/dev/net/tun`, [`BATCH_MAX`] at most.
    Tuns(usize),
}

/// The step at which a child failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FetchStage {
    /// The child could not be made, or did not answer.
    Child = 0,
    /// Making a user namespace.
    NewUser,
    /// Making a network namespace.
    NewNet,
    /// Writing the ID maps of the user namespace.
    Maps,
    /// Bringing the loopback up: the first step that needs a privilege.
    Loopback,
    /// Entering the user namespace.
    EnterUser,
    /// Entering the network namespace.
    EnterNet,
    /// Opening the files or sockets.
    Open,
    /// Becoming the user who will own the namespaces.
    Owner,
}

impl FetchStage {
    const ALL: [Self; 9] = [
        Self::Child,
        Self::NewUser,
        Self::NewNet,
        Self::Maps,
        Self::Loopback,
        Self::EnterUser,
        Self::EnterNet,
        Self::Open,
        Self::Owner,
    ];
}

/// Why there are no descriptors.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) stage: FetchStage,
    pub(super) source: io::Error,
}

impl From<io::Error> for Failure {
    fn from(source: io::Error) -> Self {
        Self { stage: FetchStage::Child, source }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        io::Error::from(errno).into()
    }
}

/// Starts a child that enters `place` and opens `what`. The descriptors are close-on-exec: one that leaked into an unrelated
/// program would keep the namespace alive.
pub(super) fn fetch(place: &Target<'_>, what: Open) -> Result<Vec<OwnedFd>, Failure> {
    let (ours, theirs) = UnixDatagram::pair()?;
    let answer_to = theirs.as_raw_fd();
    // SAFETY: the child makes system calls on values that exist already, and ends by `_exit`: nothing there allocates,
    // locks, or runs a destructor.
    let child = match unsafe { fork() }? {
        ForkResult::Child => work(place, what, answer_to),
        ForkResult::Parent { child } => child,
    };
    drop(theirs);
    let answer = receive(&ours);
    end(child);
    answer
}

/// Reaps the child. It has answered or never will, so nothing is waited for.
fn end(child: Pid) {
    let _ = kill(child, Signal::SIGKILL);
    // The program may reap all its children, and may have been faster.
    while waitpid(child, None) == Err(Errno::EINTR) {}
}

fn receive(socket: &UnixDatagram) -> Result<Vec<OwnedFd>, Failure> {
    wait_readable(socket)?;
    let mut message = [0; 5];
    let (length, descriptors) = fd_passing::receive(socket, &mut message)?;
    let [stage, errno @ ..] = message;
    let stage = FetchStage::ALL.get(usize::from(stage)).copied().unwrap_or(FetchStage::Child);
    match (length, i32::from_ne_bytes(errno)) {
        (5, 0) => Ok(descriptors),
        (5, errno) => Err(Failure { stage, source: io::Error::from_raw_os_error(errno) }),
        _ => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

/// Waits until the child has answered or ended.
fn wait_readable(socket: &UnixDatagram) -> Result<(), Failure> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], left) {
            Err(Errno::EINTR) => {}
            Ok(0) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            Ok(_) => return Ok(()),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The code that runs in the child.
fn work(place: &Target<'_>, what: Open, answer_to: RawFd) -> ! {
    let mut opened = [-1; BATCH_MAX];
    let answer = go(place).and_then(|()| open_all(what, &mut opened).map_err(|errno| (FetchStage::Open, errno)));
    match answer {
        Ok(count) => send(answer_to, FetchStage::Child, 0, &opened[..count]),
        Err((stage, errno)) => send(answer_to, stage, errno as i32, &[]),
    }
    // SAFETY: it ends this process, as is wanted.
    unsafe { libc::_exit(0) }
}

fn go(place: &Target<'_>) -> Result<(), (FetchStage, Errno)> {
    let at = |stage| move |errno| (stage, errno);
    match place {
        Target::Existing { user, net } => {
            if let Some(user) = user {
                setns(user, CloneFlags::CLONE_NEWUSER).map_err(at(FetchStage::EnterUser))?;
            }
            setns(net, CloneFlags::CLONE_NEWNET).map_err(at(FetchStage::EnterNet))
        }
        Target::Fresh(maps) => fresh(maps),
        Target::FreshFor(maps) => {
            privileges::act_for(maps.uid, maps.gid).map_err(at(FetchStage::Owner))?;
            fresh(maps)
        }
        Target::FreshNet => {
            unshare(CloneFlags::CLONE_NEWNET).map_err(at(FetchStage::NewNet))?;
            raise_loopback().map_err(at(FetchStage::Loopback))
        }
    }
}

fn fresh(maps: &IdMaps) -> Result<(), (FetchStage, Errno)> {
    let at = |stage| move |errno| (stage, errno);
    unshare(CloneFlags::CLONE_NEWUSER).map_err(at(FetchStage::NewUser))?;
    unshare(CloneFlags::CLONE_NEWNET).map_err(at(FetchStage::NewNet))?;
    // Without this, an unprivileged process may not map a group.
    put(c"/proc/self/setgroups", b"deny").map_err(at(FetchStage::Maps))?;
    put(c"/proc/self/uid_map", maps.user.to_bytes()).map_err(at(FetchStage::Maps))?;
    put(c"/proc/self/gid_map", maps.group.to_bytes()).map_err(at(FetchStage::Maps))?;
    raise_loopback().map_err(at(FetchStage::Loopback))
}

fn put(file: &CStr, text: &[u8]) -> nix::Result<()> {
    let file = open(file, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    write(file, text).map(drop)
}

/// `ip link set lo up` by its ioctl (netdevice(7)).
fn raise_loopback() -> nix::Result<()> {
    // SAFETY: plain system calls on a structure of this frame, which zeros are a valid value of.
    unsafe {
        let socket = Errno::result(libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0))?;
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l'.cast_signed();
        request.ifr_name[1] = b'o'.cast_signed();
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
        let raised = Errno::result(libc::ioctl(socket, libc::SIOCSIFFLAGS, &request));
        libc::close(socket);
        raised.map(drop)
    }
}

/// Opens it in this process's namespaces, without a child.
pub(super) fn open_here(what: Open) -> io::Result<Vec<OwnedFd>> {
    let mut opened = [-1; BATCH_MAX];
    let count = open_all(what, &mut opened)?;
    // SAFETY: they were opened just now, and no other code knows their numbers.
    Ok(opened[..count].iter().map(|number| unsafe { OwnedFd::from_raw_fd(*number) }).collect())
}

/// Opens it. Returns the number of descriptors, or an error and none.
fn open_all(what: Open, opened: &mut [RawFd; BATCH_MAX]) -> nix::Result<usize> {
    let file = |path: &CStr, how: OFlag| open(path, how | OFlag::O_CLOEXEC, Mode::empty()).map(IntoRawFd::into_raw_fd);
    match what {
        Open::Namespaces => {
            opened[0] = file(c"/proc/self/ns/net", OFlag::O_RDONLY)?;
            opened[1] = file(c"/proc/self/ns/user", OFlag::O_RDONLY)?;
            Ok(2)
        }
        Open::Socket(family, kind, protocol) => {
            // SAFETY: a system call without pointers.
            opened[0] = Errno::result(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) })?;
            Ok(1)
        }
        Open::Tuns(count) => {
            let count = count.min(BATCH_MAX);
            for (index, place) in opened.iter_mut().enumerate().take(count) {
                match file(c"/dev/net/tun", OFlag::O_RDWR) {
                    Ok(tun) => *place = tun,
                    // Fewer than asked for will do: the process may have reached its limit.
                    Err(Errno::EMFILE | Errno::ENFILE) if index > 0 => return Ok(index),
                    Err(errno) => return Err(errno),
                }
            }
            Ok(count)
        }
    }
}

/// Sends the answer: the stage, the error or 0, and the descriptors. Written by hand, since a library would allocate.
fn send(to: RawFd, stage: FetchStage, errno: i32, descriptors: &[RawFd]) {
    let mut message = [0; 5];
    message[0] = stage as u8;
    message[1..].copy_from_slice(&errno.to_ne_bytes());
    /// Space for a control message, with the alignment of one.
    #[repr(C, align(8))]
    struct ControlBuffer([u8; 24 + 4 * BATCH_MAX]);
    let mut buffer = ControlBuffer([0; 24 + 4 * BATCH_MAX]);
    let length = u32::try_from(size_of_val(descriptors)).unwrap_or(0);
    // SAFETY: every pointer is to a value of this frame, of the length given beside it; the buffer is aligned and
    // large enough for the header and the most descriptors that there are.
    unsafe {
        let mut part = libc::iovec { iov_base: message.as_mut_ptr().cast(), iov_len: message.len() };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        if !descriptors.is_empty() {
            message.msg_control = buffer.0.as_mut_ptr().cast();
            message.msg_controllen = libc::CMSG_SPACE(length) as usize;
            let header = libc::CMSG_FIRSTHDR(&raw const message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = libc::CMSG_LEN(length) as usize;
            std::ptr::copy_nonoverlapping(descriptors.as_ptr().cast(), libc::CMSG_DATA(header), length as usize);
        }
        // It fails if the parent has gone.
        libc::sendmsg(to, &raw const message, 0);
    }
}
