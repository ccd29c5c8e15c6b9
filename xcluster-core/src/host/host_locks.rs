//! Exclusive rights to numbers that the processes of a host share: TCP ports, multicast groups, boot slots. The kernel frees
//! them when the holder dies.
//!
//! A host lock is a listening UNIX socket with an abstract name. The kernel gives each name to one process, frees it when
//! that process ends in any way, and has one set of names per network namespace, as for ports. Probing a number instead of
//! locking it races, and two QEMUs can join one multicast group without an error. A process that waits for a host lock
//! connects to it; the holder's end closes the connection, which is an event.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, listen, socket, sockopt,
};
use tokio::time::timeout;

use super::Namespace;

use crate::error_chain;

/// The retry interval while the holder cannot be connected to.
const AGAIN: Duration = Duration::from_millis(10);

/// The holder of a host lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// Its process ID as this process sees it; `None` if that is not known.
    pub pid: Option<i32>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// Why a name could not be locked.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum HostLockError {
    /// Another process holds the lock.
    #[error("{what} is locked by {holder}")]
    Taken {
        /// The name.
        what: String,
        /// The holder.
        holder: Holder,
    },
    /// No lock became free in time.
    #[error("no lock of {what} became free within {} s", .waited.as_secs())]
    Late {
        /// The name.
        what: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The name is too long, or a system call failed.
    #[error("cannot lock {what}")]
    Io {
        /// The name.
        what: String,
        /// The system's error.
        #[source]
        source: io::Error,
    },
}

error_chain::readable_debug!(HostLockError);

/// One host lock. Dropping it releases it.
#[derive(Debug)]
pub struct HostLock {
    _socket: OwnedFd,
}

impl HostLock {
    /// Locks `what`: a text of at most 80 bytes that all users of the number agree on, such as `tcp/127.0.0.1:12001`.
    ///
    /// # Errors
    /// Another process holds it, or a system call failed.
    pub fn take(what: &str) -> Result<Self, HostLockError> {
        Self::take_where(what, &stream)
    }

    /// Locks `what` within a network namespace, for names and numbers that each namespace has its own set of.
    ///
    /// # Errors
    /// Another process holds it, or a system call failed.
    pub fn take_in(namespace: &Namespace, what: &str) -> Result<Self, HostLockError> {
        Self::take_where(what, &|| namespace.socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0))
    }

    /// An abstract name belongs to the namespace that its socket was opened in.
    fn take_where(what: &str, open: &dyn Fn() -> io::Result<OwnedFd>) -> Result<Self, HostLockError> {
        let failed = |source| HostLockError::Io { what: what.to_owned(), source };
        let taken = || HostLockError::Taken { what: what.to_owned(), holder: holder(what, open) };
        Self::listen(what, open().map_err(failed)?)?.ok_or_else(taken)
    }

    fn take_if_free(what: &str) -> Result<Option<Self>, HostLockError> {
        Self::listen(what, stream().map_err(|source| HostLockError::Io { what: what.to_owned(), source })?)
    }

    fn listen(what: &str, socket: OwnedFd) -> Result<Option<Self>, HostLockError> {
        let failed = |errno: nix::Error| HostLockError::Io { what: what.to_owned(), source: errno.into() };
        match bind(socket.as_raw_fd(), &address(what).map_err(failed)?) {
            Ok(()) => {}
            Err(nix::Error::EADDRINUSE) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        }
        listen(&socket, Backlog::MAXCONN).map_err(failed)?;
        Ok(Some(Self { _socket: socket }))
    }

    /// Locks one of `places` slots of `what`, and waits until one is free. Must run in a tokio runtime.
    ///
    /// # Errors
    /// None became free within `limit`, or a system call failed.
    pub async fn take_one_of(what: &str, places: usize, limit: Duration) -> Result<Self, HostLockError> {
        let late = |_| HostLockError::Late { what: what.to_owned(), waited: limit };
        timeout(limit, Self::wait_for_one_of(what, places)).await.map_err(late)?
    }

    async fn wait_for_one_of(what: &str, places: usize) -> Result<Self, HostLockError> {
        let mut ends = FuturesUnordered::new();
        for name in (0..places).map(|place| format!("{what}/{place}")) {
            match Self::take_if_free(&name)? {
                Some(host_lock) => return Ok(host_lock),
                None => ends.push(end_of_holder(name)),
            }
        }
        // One connection per holder is kept. Holders accept none, so each connection takes a place in the holder's queue.
        while let Some(name) = ends.next().await {
            let name = name?;
            match Self::take_if_free(&name)? {
                Some(host_lock) => return Ok(host_lock),
                None => ends.push(end_of_holder(name)),
            }
        }
        std::future::pending().await
    }
}

/// The host locks of one cluster. They are kept until it ends.
#[derive(Debug, Default)]
pub struct HostLocks {
    held: Mutex<BTreeMap<String, HostLock>>,
}

impl HostLocks {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the locks of all names, or none. Locks that this value holds already stay held.
    ///
    /// # Errors
    /// Another process holds one of them, the first is reported; or a system call failed.
    pub fn take_all(&self, names: impl IntoIterator<Item = impl Into<String>>) -> Result<(), HostLockError> {
        self.take_each(names, HostLock::take)
    }

    /// Takes locks within a network namespace; see [`HostLock::take_in`].
    ///
    /// # Errors
    /// As for [`Self::take_all`].
    pub fn take_all_in(
        &self,
        namespace: &Namespace,
        names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<(), HostLockError> {
        self.take_each(names, |what| HostLock::take_in(namespace, what))
    }

    fn take_each(
        &self,
        names: impl IntoIterator<Item = impl Into<String>>,
        take: impl Fn(&str) -> Result<HostLock, HostLockError>,
    ) -> Result<(), HostLockError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = BTreeMap::new();
        for what in names {
            let what = what.into();
            if !held.contains_key(&what) && !taken.contains_key(&what) {
                let host_lock = take(&what)?;
                taken.insert(what, host_lock);
            }
        }
        held.append(&mut taken);
        Ok(())
    }

    /// Releases those of the names that this value holds.
    pub fn release(&self, whats: impl IntoIterator<Item = impl AsRef<str>>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        for what in whats {
            held.remove(what.as_ref());
        }
    }

    /// Whether this value holds `what`.
    pub fn holds(&self, what: &str) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).contains_key(what)
    }
}

fn stream() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    Ok(socket(AddressFamily::Unix, SockType::Stream, flags, None)?)
}

fn address(what: &str) -> nix::Result<UnixAddr> {
    UnixAddr::new_abstract(format!("xcluster/{what}").as_bytes())
}

/// The process that listens on the name: the kernel reports it to a client that connects.
fn holder(what: &str, open: &dyn Fn() -> io::Result<OwnedFd>) -> Holder {
    let pid = || -> io::Result<i32> {
        let socket = open()?;
        connect(socket.as_raw_fd(), &address(what)?)?;
        Ok(getsockopt(&socket, sockopt::PeerCredentials)?.pid())
    };
    Holder { pid: pid().ok().filter(|pid| *pid > 0) }
}

/// Completes with the name when its holder releases it or dies.
async fn end_of_holder(what: String) -> Result<String, HostLockError> {
    let failed = |source: io::Error| HostLockError::Io { what: what.clone(), source };
    let socket = stream().map_err(failed)?;
    match connect(socket.as_raw_fd(), &address(&what).map_err(|errno| failed(errno.into()))?) {
        Ok(()) => {
            let socket = tokio::net::UnixStream::from_std(socket.into()).map_err(failed)?;
            // The holder never writes, so a readable connection is a closed one.
            socket.readable().await.map_err(failed)?;
        }
        // The holder ended just now, does not listen, or has a full queue. The latter two give no event.
        Err(nix::Error::ECONNREFUSED | nix::Error::EAGAIN) => tokio::time::sleep(AGAIN).await,
        Err(errno) => return Err(failed(errno.into())),
    }
    Ok(what)
}

#[cfg(test)]
mod tests;
