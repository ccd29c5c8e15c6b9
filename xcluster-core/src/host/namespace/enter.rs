//! Starting programs in a namespace. They have every privilege there, and remain the same user.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sched::{CloneFlags, setns};
use nix::sys::stat::fstat;

use super::{Namespace, privileges, userns_owner};

/// The descriptors that a program needs to enter a namespace before it is executed; they are close-on-exec.
#[derive(Debug)]
pub struct NamespaceEntry {
    pub(super) user: Option<OwnedFd>,
    pub(super) net: OwnedFd,
}

impl Namespace {
    /// The entry for programs; `None` for the namespace that this process is in.
    ///
    /// # Errors
    /// No more descriptors can be opened.
    pub fn inside(&self) -> io::Result<Option<NamespaceEntry>> {
        let Some((user, net)) = self.descriptors() else { return Ok(None) };
        let user = user.map(|user| user.try_clone_to_owned()).transpose()?;
        Ok(Some(NamespaceEntry::new(user, net.try_clone_to_owned()?)))
    }
}

impl NamespaceEntry {
    /// An entry from these descriptors: of the user namespace, if it is not ours, and of the network namespace. Root does not
    /// enter another user's user namespace, and no process enters the one that it is in.
    pub fn new(user: Option<OwnedFd>, net: OwnedFd) -> Self {
        Self { user: user.and_then(userns_owner::enterable), net }
    }

    /// A copy of the entry.
    ///
    /// # Errors
    /// No more descriptors can be opened.
    pub fn try_clone(&self) -> io::Result<Self> {
        let user = self.user.as_ref().map(OwnedFd::try_clone).transpose()?;
        Ok(Self { user, net: self.net.try_clone()? })
    }

    /// The descriptors, to pass them on: of the user namespace, if it is not ours, and of the network namespace.
    pub fn descriptors(&self) -> (Option<BorrowedFd<'_>>, BorrowedFd<'_>) {
        (self.user.as_ref().map(AsFd::as_fd), self.net.as_fd())
    }

    /// Makes a program enter before it is executed: a shell, `tcpdump`, `nft`. It has every privilege there, and its user's
    /// rights on the host.
    ///
    /// A program that needs a death signal must ask for it in a `pre_exec` that is added after this one, because entering a
    /// user namespace clears it (prctl(2)).
    pub fn enter(self, command: &mut Command) {
        let enter = move || {
            if let Some(user) = &self.user {
                setns(user.as_fd(), CloneFlags::CLONE_NEWUSER)?;
            }
            setns(self.net.as_fd(), CloneFlags::CLONE_NEWNET)?;
            // In the host's user namespace the program gains nothing.
            if self.user.is_some() { privileges::make_ambient().map_err(io::Error::from) } else { Ok(()) }
        };
        // SAFETY: between fork and exec only system calls are made, on values that exist already.
        unsafe { command.pre_exec(enter) };
    }
}

/// Makes a program that does not enter keep the privileges of this process. Otherwise they vanish at its execution, unless it
/// is root's.
pub fn keep_privileges(command: &mut Command) {
    let keep = || privileges::make_ambient().map_err(io::Error::from);
    // SAFETY: between fork and exec only system calls are made, on values that exist already.
    unsafe { command.pre_exec(keep) };
}

/// Two entries of the same network namespace are equal.
impl PartialEq for NamespaceEntry {
    fn eq(&self, other: &Self) -> bool {
        let number = |inside: &Self| fstat(&inside.net).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        number(self).is_some_and(|this| Some(this) == number(other))
    }
}
