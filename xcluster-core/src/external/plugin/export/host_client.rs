//! The host, as a plugin in Rust sees it during a call.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::super::abi::{ABI, Host, NAMESPACE_NET, NAMESPACE_USER};
use super::super::message::Error;
use crate::host::{Namespace, Netns};

/// The host during one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostClient<'a>(&'a Host);

impl HostClient<'_> {
    /// # Safety
    /// It is null, or the table that a host lends for a call, which goes on for as long as this is used.
    pub(super) unsafe fn new(host: *const Host) -> Result<Self, Error> {
        // SAFETY: the version begins the table in every version of the interface.
        let abi = if host.is_null() { None } else { Some(unsafe { (*host).abi }) };
        match abi {
            // SAFETY: the caller's; of this version it has at least these fields.
            Some(ABI) => Ok(Self(unsafe { &*host })),
            _ => Err(Error::other(format!("this host does not speak version {ABI} of the interface"))),
        }
    }

    /// Gives the host a duplicate of a descriptor.
    pub(super) fn give(&self, descriptor: BorrowedFd<'_>) -> Result<u64, Error> {
        let give = self.0.give.ok_or_else(|| Error::other("this host takes no descriptors"))?;
        // SAFETY: the call goes on.
        let token = unsafe { give(self.0.call, descriptor.as_raw_fd()) };
        if token == 0 { Err(Error::other("the host does not take a descriptor")) } else { Ok(token) }
    }

    /// The namespace of the call's cluster.
    pub(super) fn namespace(&self, wanted: Netns) -> Result<Namespace, Error> {
        match self.open(NAMESPACE_NET)? {
            Some(net) => Ok(Namespace::from_descriptors(wanted, self.open(NAMESPACE_USER)?, net)),
            None => Ok(Namespace::here()),
        }
    }

    /// `None` if the plugin is in that namespace.
    fn open(&self, which: u32) -> Result<Option<OwnedFd>, Error> {
        let open = self.0.open_namespace.ok_or_else(|| Error::other("this host opens no namespaces"))?;
        // SAFETY: the call goes on.
        match unsafe { open(self.0.call, which) } {
            number if number == -(Errno::ENOENT as i32) => Ok(None),
            // SAFETY: the host has opened it for us.
            number if number >= 0 => Ok(Some(unsafe { OwnedFd::from_raw_fd(number) })),
            errno => Err(Error::Io { action: "use the cluster's network namespace".to_owned(), errno: -errno }),
        }
    }
}
