//! The ioctls of taps, which netlink cannot make.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;

/// The flags of every tap: Ethernet frames without packet information.
const TAP: libc::c_int = libc::IFF_TAP | libc::IFF_NO_PI;

nix::ioctl_write_ptr_bad!(
    /// `TUNSETIFF` of linux/if_tun.h, which says `int` and takes a `struct ifreq`.
    tun_set_iff,
    nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
    libc::ifreq
);
nix::ioctl_write_int_bad!(
    /// `TUNSETPERSIST` of linux/if_tun.h.
    tun_set_persist,
    nix::request_code_write!(b'T', 203, size_of::<libc::c_int>())
);

/// What exists of the tap before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Queue {
    /// Nothing. The tap is made, and this is its only queue.
    Only,
    /// Nothing. The tap is made, and this is the first of several queues.
    First,
    /// The tap, which gets another queue.
    Further,
}

/// Makes an open `/dev/net/tun` a queue of the tap of this name, in the namespace that it was opened in. The tap lives as
/// long as one of its queues is open. With `offloads`, a header before each frame describes pending checksums and
/// segmentation.
pub(super) fn become_tap(tun: &OwnedFd, name: &str, queue: Queue, offloads: bool) -> Result<(), Errno> {
    let header = if offloads { libc::IFF_VNET_HDR } else { 0 };
    let flags = TAP
        | header
        | match queue {
            Queue::Only => libc::IFF_TUN_EXCL,
            Queue::First => libc::IFF_MULTI_QUEUE | libc::IFF_TUN_EXCL,
            Queue::Further => libc::IFF_MULTI_QUEUE,
        };
    // SAFETY: zeros are a valid value of this structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    // The flag of an exclusive tap is the sign bit of the kernel's 16-bit number.
    request.ifr_ifru.ifru_flags = (flags as u16).cast_signed();
    // SAFETY: the descriptor is open, and the structure is what the request takes.
    unsafe { tun_set_iff(tun.as_raw_fd(), &raw const request) }.map(drop)
}

/// Makes the tap persistent: it stays when its last queue is closed.
pub(super) fn make_permanent(tun: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: the descriptor is open, and the request takes a number.
    unsafe { tun_set_persist(tun.as_raw_fd(), 1) }.map(drop)
}
