//! Network namespaces for tests, without privilege. They have no names, so the kernel removes them with their last user.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;

use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket};
use nix::unistd::{getgid, getuid};

/// Allows the threads of this process to have network namespaces of their own.
///
/// To be called before the process has a second thread: only then may it enter a user namespace, which gives it that right. A
/// privileged process needs none.
pub(super) fn allow() -> io::Result<()> {
    if unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    let (user, group) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("{user} {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("{group} {group} 1"))?;
    // Some hosts let every user make a user namespace, and then allow nothing in it.
    raise_loopback()
}

/// Moves the calling thread into a new network namespace, which has only loopback. Threads and processes that it starts are in
/// it, too.
pub(super) fn enter_fresh() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    raise_loopback()
}

/// The calling thread's network namespace, as the kernel numbers it.
pub(super) fn current() -> Option<u64> {
    inode("/proc/thread-self/ns/net")
}

/// The network namespace of this process's first thread.
pub(super) fn of_process() -> Option<u64> {
    inode("/proc/self/ns/net")
}

/// The network namespace behind a file in /proc.
pub(super) fn inode(path: &str) -> Option<u64> {
    let target = fs::read_link(path).ok()?;
    target.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

/// `ip link set lo up`, in one message to the kernel (rtnetlink(7)).
fn raise_loopback() -> io::Result<()> {
    /// The index that the kernel gives to `lo`, the first link of a namespace.
    const LOOPBACK: i32 = 1;
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    let mut message = Vec::new();
    // struct nlmsghdr: length, type, flags, sequence, port.
    message.extend(32_u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(REQUEST_AND_ACK.to_ne_bytes());
    message.extend([0; 8]);
    // struct ifinfomsg: family and type are any, then index, flags, and the mask of flags to change.
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());

    let netlink = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    sendto(netlink.as_raw_fd(), &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer = [0; 512];
    let length = recv(netlink.as_raw_fd(), &mut answer, MsgFlags::empty())?;
    // struct nlmsgerr follows the header: a negative errno, or 0.
    match answer[..length].get(16..20).and_then(|bytes| bytes.try_into().ok()).map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        Some(errno) => Err(io::Error::from_raw_os_error(-errno)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
