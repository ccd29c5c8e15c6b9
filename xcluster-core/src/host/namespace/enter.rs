//! Programs that run in a namespace: they have every privilege in it and are still who they were. Starts none.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CloneFlags, setns};

use super::Namespace;

/// The way into a namespace for a program that is about to be executed. Owns its descriptors, which are close-on-exec.
#[derive(Debug)]
pub struct Inside {
    pub(super) user: Option<OwnedFd>,
    pub(super) net: OwnedFd,
}

impl Namespace {
    /// The way into it for programs; none where we are in it already.
    ///
    /// # Errors
    /// There are too few descriptors.
    pub fn inside(&self) -> io::Result<Option<Inside>> {
        let Some((user, net)) = self.descriptors() else { return Ok(None) };
        let user = user.map(|user| user.try_clone_to_owned()).transpose()?;
        Ok(Some(Inside::new(user, net.try_clone_to_owned()?)))
    }
}

impl Inside {
    /// A way by these descriptors: of the user namespace, if it is another than ours, and of the network's.
    pub const fn new(user: Option<OwnedFd>, net: OwnedFd) -> Self {
        Self { user, net }
    }

    /// What it goes by, for those who pass it on: of the user namespace, if it is another than ours, and of the network's.
    pub fn descriptors(&self) -> (Option<BorrowedFd<'_>>, BorrowedFd<'_>) {
        (self.user.as_ref().map(AsFd::as_fd), self.net.as_fd())
    }

    /// Has a program enter before it is executed: a shell, `tcpdump`, `nft`. There it has every privilege; of the host it has
    /// what its user has.
    ///
    /// What asks for a death signal must do so in a `pre_exec` that is added after this one: entering a user namespace
    /// forgets it (prctl(2)).
    pub fn enter(self, command: &mut Command) {
        let enter = move || {
            if let Some(user) = &self.user {
                setns(user.as_fd(), CloneFlags::CLONE_NEWUSER)?;
            }
            setns(self.net.as_fd(), CloneFlags::CLONE_NEWNET)?;
            // In the host's user namespace there is nothing that we would not have had before.
            if self.user.is_some() { keep_privileges() } else { Ok(()) }
        };
        // SAFETY: between fork and exec only system calls are made, on values that exist already.
        unsafe { command.pre_exec(enter) };
    }
}

/// The header and the data of capset(2), version 3: 64 bits in two halves.
#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h.
const CAP_VERSION: u32 = 0x2008_0522;
/// The most capabilities that version 3 has room for.
const CAPS: libc::c_ulong = 64;

/// Makes the capabilities of this process ambient: others vanish when a program is executed by anybody but root.
pub(super) fn keep_privileges() -> io::Result<()> {
    let mut header = CapHeader { version: CAP_VERSION, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: both structures are as capget(2) wants them and outlive the calls.
    unsafe {
        Errno::result(libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()))?;
        for half in &mut data {
            half.inheritable = half.permitted;
        }
        Errno::result(libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()))?;
    }
    for capability in 0..CAPS {
        let half = data[usize::from(capability >= 32)];
        if half.permitted & (1 << (capability % 32)) != 0 {
            // SAFETY: a system call without pointers.
            let raised = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE, capability, 0, 0) };
            Errno::result(raised)?;
        }
    }
    Ok(())
}
