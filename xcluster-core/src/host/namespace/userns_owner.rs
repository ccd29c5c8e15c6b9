//! The owner of a user namespace, which decides whether to enter it.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc::uid_t;
use nix::sys::stat::fstat;
use nix::unistd::Uid;

nix::ioctl_read_bad!(
    /// `NS_GET_OWNER_UID` of linux/nsfs.h, which is made without a size.
    ns_get_owner_uid,
    nix::request_code_none!(0xb7, 4),
    uid_t
);

/// The user namespace, if it should be entered. A process cannot enter the one that it is in. Root does not enter an ordinary
/// user's, since that user has every privilege over programs there; root only needs the network namespace.
pub(super) fn enterable(user: OwnedFd) -> Option<OwnedFd> {
    let number = |file: &OwnedFd| fstat(file).map(|stat| (stat.st_dev, stat.st_ino)).ok();
    let ours = File::open("/proc/thread-self/ns/user").ok().and_then(|ours| number(&ours.into()));
    let entered = ours.is_some() && ours == number(&user);
    let trusted = !Uid::effective().is_root() || owner(&user).is_some_and(Uid::is_root);
    (!entered && trusted).then_some(user)
}

/// The user ID of its maker, as seen from this process.
fn owner(user: &OwnedFd) -> Option<Uid> {
    let mut owner: uid_t = uid_t::MAX;
    // SAFETY: the descriptor is open, and the kernel writes one number, of this type.
    unsafe { ns_get_owner_uid(user.as_raw_fd(), &raw mut owner) }.ok()?;
    Some(Uid::from_raw(owner))
}
