//! The network namespace of a cluster, held by descriptors alone. This process never enters it. When the process ends in any
//! way, the kernel frees the namespace with all that is in it. Makes no links.
//!
//! A descriptor belongs to the namespace that it was opened in, whichever process uses it later: a route-netlink socket makes
//! bridges there, `/dev/net/tun` makes taps there, a TCP socket connects there. So a child that lives for a few system calls
//! opens them in the namespace (`child`), and this process uses them.
//!
//! * [`Namespace`]: start here.
//! * [`Netns`]: which namespace to use, as data.
//! * [`NamespaceError`]: why there is none, and the command that helps.

mod child;
mod enter;
mod error;
mod isolate;
mod netns_name;
mod privileges;
#[cfg(test)]
mod tests;
mod userns_owner;

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::stat::fstat;
use tokio::net::{TcpSocket, TcpStream};

use crate::host::fd_passing::BATCH_MAX;

use child::{FetchStage, IdMaps, Open, Target};

pub use enter::{NamespaceEntry, keep_privileges};
pub use error::NamespaceError;
pub use isolate::IsolatedNet;
pub use netns_name::{NamedNetns, Netns, NetnsNameError};

/// Keep-alive of connections: seconds of silence before a probe, seconds between probes, number of probes; and milliseconds
/// that sent data may stay unacknowledged.
const SILENCE: (u32, u32, u32, u32) = (10, 5, 4, 30_000);

/// A network namespace that is used from outside.
#[derive(Debug)]
pub struct Namespace {
    netns: Netns,
    /// `None` for the namespace that this process is in.
    handles: Option<Handles>,
    spare: Mutex<Spare>,
}

#[derive(Debug)]
struct Handles {
    /// The user namespace that owns it, if that is not ours.
    user: Option<OwnedFd>,
    net: OwnedFd,
}

/// `/dev/net/tun` descriptors that were opened in advance: one child opens many.
#[derive(Debug, Default)]
struct Spare {
    tuns: Vec<OwnedFd>,
    /// How many more are expected to be asked for.
    expected: usize,
}

impl Namespace {
    /// Opens or makes a namespace.
    ///
    /// # Errors
    /// The host or the user's rights do not allow it.
    pub fn open(netns: &Netns) -> Result<Self, NamespaceError> {
        let handles = match netns {
            Netns::Private => Some(fresh()?),
            Netns::Named(name) => Some(named(name)?),
            Netns::Here => None,
        };
        Ok(Self { netns: netns.clone(), handles, spare: Mutex::default() })
    }

    /// A new namespace for this process alone, with only the loopback in it. Needs no privilege.
    ///
    /// # Errors
    /// The host does not allow it to this user.
    pub fn private() -> Result<Self, NamespaceError> {
        Self::open(&Netns::Private)
    }

    /// A new namespace of this user: in a user namespace that maps the user to himself, and that he may enter without
    /// privilege. Only root may make it for another user. Root may also make it where users may not.
    /// # Errors
    /// This process lacks the privileges, or the host has no user namespaces.
    pub fn private_of(uid: u32, gid: u32) -> Result<Self, NamespaceError> {
        let maps = IdMaps::of(uid, gid);
        let made = child::fetch(&Target::FreshFor(&maps), Open::Namespaces);
        let made = made.map_err(|failure| NamespaceError::forbidden(failure.stage, failure.source))?;
        Ok(Self { netns: Netns::Private, handles: Some(handles(made, true)?), spare: Mutex::default() })
    }

    /// The namespace that this process is in.
    pub const fn here() -> Self {
        let spare = Mutex::new(Spare { tuns: Vec::new(), expected: 0 });
        Self { netns: Netns::Here, handles: None, spare }
    }

    /// A namespace from files: of its user namespace, if that is not ours, and of the network namespace.
    ///
    /// # Errors
    /// The files cannot be opened.
    pub fn from_files(netns: Netns, user: Option<&Path>, net: &Path) -> io::Result<Self> {
        let user = user.map(File::open).transpose()?.map(OwnedFd::from).and_then(userns_owner::enterable);
        let handles = Handles { user, net: File::open(net)?.into() };
        Ok(Self { netns, handles: Some(handles), spare: Mutex::default() })
    }

    /// A namespace that another process has passed on, by the values of [`descriptors`](Self::descriptors) there.
    pub fn from_descriptors(netns: Netns, user: Option<OwnedFd>, net: OwnedFd) -> Self {
        Self { netns, handles: Some(Handles { user, net }), spare: Mutex::default() }
    }

    /// The namespace's mode and name.
    pub const fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The descriptors of its user namespace, if that is not ours, and of the network namespace. `None` for the namespace
    /// that this process is in.
    pub fn descriptors(&self) -> Option<(Option<BorrowedFd<'_>>, BorrowedFd<'_>)> {
        self.handles.as_ref().map(|handles| (handles.user.as_ref().map(AsFd::as_fd), handles.net.as_fd()))
    }

    /// The kernel's number of the namespace, which is unique while it exists.
    ///
    /// # Errors
    /// The kernel does not answer.
    pub fn id(&self) -> io::Result<u64> {
        let stat = match &self.handles {
            Some(handles) => fstat(&handles.net)?,
            None => fstat(&File::open("/proc/thread-self/ns/net")?)?,
        };
        Ok(stat.st_ino)
    }

    /// Opens a socket in it (socket(2)), close-on-exec.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn socket(&self, family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
        let opened = self.fetch(Open::Socket(family, kind, protocol))?;
        opened.into_iter().next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Opens a route-netlink socket in it: for links, addresses, routes.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn netlink(&self) -> io::Result<OwnedFd> {
        self.socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_NONBLOCK, libc::NETLINK_ROUTE)
    }

    /// Announces about how many taps will be made, so that one child opens many descriptors.
    pub fn expect_tuns(&self, count: usize) {
        self.spare().expected += count;
    }

    /// Opens `/dev/net/tun` in it. The caller makes a tap of it with `TUNSETIFF`.
    ///
    /// # Errors
    /// The file does not exist or may not be opened: [`NamespaceError::Tun`].
    pub fn tun(&self) -> Result<OwnedFd, NamespaceError> {
        let mut spare = self.spare();
        spare.expected = spare.expected.saturating_sub(1);
        if let Some(tun) = spare.tuns.pop() {
            return Ok(tun);
        }
        let batch = Open::Tuns(spare.expected.saturating_add(1).min(BATCH_MAX));
        spare.tuns = self.fetch(batch).map_err(NamespaceError::Tun)?;
        spare.tuns.pop().ok_or_else(|| NamespaceError::Tun(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Connects to an address in it. The caller sets a deadline. Must run in a tokio runtime.
    ///
    /// # Errors
    /// Nothing accepts connections there.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let family = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let socket = self.socket(family, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
        // A killed VM does not close its connections. Without these options a reader waits for ever, and keeps the namespace.
        setsockopt(&socket, sockopt::KeepAlive, &true)?;
        setsockopt(&socket, sockopt::TcpKeepIdle, &SILENCE.0)?;
        setsockopt(&socket, sockopt::TcpKeepInterval, &SILENCE.1)?;
        setsockopt(&socket, sockopt::TcpKeepCount, &SILENCE.2)?;
        setsockopt(&socket, sockopt::TcpUserTimeout, &SILENCE.3)?;
        TcpSocket::from_std_stream(socket.into()).connect(to).await
    }

    fn fetch(&self, what: Open) -> io::Result<Vec<OwnedFd>> {
        let Some(handles) = &self.handles else { return child::open_here(what) };
        let place = Target::Existing { user: handles.user.as_ref().map(AsFd::as_fd), net: handles.net.as_fd() };
        child::fetch(&place, what).map_err(|failure| failure.source)
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fresh() -> Result<Handles, NamespaceError> {
    let maps = IdMaps::identity();
    let unprivileged = child::fetch(&Target::Fresh(&maps), Open::Namespaces);
    let failure = match unprivileged {
        Ok(descriptors) => return handles(descriptors, true),
        Err(failure) => failure,
    };
    // Root needs no user namespace, also where the host forbids them to all users.
    if failure.stage == FetchStage::NewUser
        && let Ok(descriptors) = child::fetch(&Target::FreshNet, Open::Namespaces)
    {
        return handles(descriptors, false);
    }
    Err(NamespaceError::forbidden(failure.stage, failure.source))
}

fn handles(descriptors: Vec<OwnedFd>, own_user: bool) -> Result<Handles, NamespaceError> {
    let mut descriptors = descriptors.into_iter();
    let net = descriptors.next().ok_or_else(|| NamespaceError::Io(io::ErrorKind::UnexpectedEof.into()))?;
    Ok(Handles { user: descriptors.next().filter(|_| own_user), net })
}

fn named(name: &NamedNetns) -> Result<Handles, NamespaceError> {
    let open = |path: std::path::PathBuf| match File::open(&path) {
        Ok(file) => Ok(Some(OwnedFd::from(file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(NamespaceError::Named { name: name.clone(), source }),
    };
    let net = open(name.net_file())?.ok_or_else(|| NamespaceError::Absent(name.clone()))?;
    // A namespace from `ip netns add` is owned by the host's user namespace.
    let handles = Handles { user: open(name.user_file())?.and_then(userns_owner::enterable), net };
    let place = Target::Existing { user: handles.user.as_ref().map(AsFd::as_fd), net: handles.net.as_fd() };
    let entered = child::fetch(&place, Open::Namespaces);
    entered.map_err(|failure| match Errno::from_raw(failure.source.raw_os_error().unwrap_or_default()) {
        Errno::EPERM => NamespaceError::NotYours(name.clone()),
        _ => NamespaceError::Named { name: name.clone(), source: failure.source },
    })?;
    Ok(handles)
}
