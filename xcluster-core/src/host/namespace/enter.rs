//! Programs that run in a namespace: they have every privilege in it and are still who they were. Starts none.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sched::{CloneFlags, setns};
use nix::sys::stat::fstat;

use super::{Namespace, privileges, userns_owner};

/// The way into a namespace for a program that is about to be executed. Owns its descriptors, which are close-on-exec.
#[derive(Debug)]
pub struct NamespaceEntry {
    pub(super) user: Option<OwnedFd>,
    pub(super) net: OwnedFd,
}

impl Namespace {
    /// The way into it for programs; none where we are in it already.
    ///
    /// # Errors
    /// There are too few descriptors.
    pub fn inside(&self) -> io::Result<Option<NamespaceEntry>> {
        let Some((user, net)) = self.descriptors() else { return Ok(None) };
        let user = user.map(|user| user.try_clone_to_owned()).transpose()?;
        Ok(Some(NamespaceEntry::new(user, net.try_clone_to_owned()?)))
    }
}

impl NamespaceEntry {
    /// A way by these descriptors: of the user namespace, if it is another than ours, and of the network's.
    /// Root stays out of a user namespace of somebody else, and nobody enters one twice.
    pub fn new(user: Option<OwnedFd>, net: OwnedFd) -> Self {
        Self { user: user.and_then(userns_owner::enterable), net }
    }

    /// The same way once more.
    ///
    /// # Errors
    /// There are too few descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        let user = self.user.as_ref().map(OwnedFd::try_clone).transpose()?;
        Ok(Self { user, net: self.net.try_clone()? })
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
            if self.user.is_some() { privileges::make_ambient().map_err(io::Error::from) } else { Ok(()) }
        };
        // SAFETY: between fork and exec only system calls are made, on values that exist already.
        unsafe { command.pre_exec(enter) };
    }
}

/// Has a program that stays where we are keep the privileges that this process has: at its execution they vanish for everybody
/// but root.
pub fn keep_privileges(command: &mut Command) {
    let keep = || privileges::make_ambient().map_err(io::Error::from);
    // SAFETY: between fork and exec only system calls are made, on values that exist already.
    unsafe { command.pre_exec(keep) };
}

/// Two ways into the same network namespace are the same.
impl PartialEq for NamespaceEntry {
    fn eq(&self, other: &Self) -> bool {
        let number = |inside: &Self| fstat(&inside.net).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        number(self).is_some_and(|this| Some(this) == number(other))
    }
}
