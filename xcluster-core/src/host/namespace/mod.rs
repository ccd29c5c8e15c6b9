//! The network namespace that a cluster's networks are in, held by descriptors alone: this process never leaves its own,
//! and when it ends, however that happens, the kernel frees the namespace with all that is in it. Makes no links.
//!
//! A descriptor belongs to the namespace that it was opened in, whoever uses it later: a route-netlink socket makes bridges
//! there, `/dev/net/tun` makes taps there, a TCP socket connects there. So all that a namespace is used for is opened in
//! it by a child that lives for a few system calls (`child`), and used here.
//!
//! * [`Namespace`]: start here.
//! * [`Netns`]: which one is wanted, as data.
//! * [`NamespaceError`]: why there is none, and which command helps.

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

/// How long the other end of a connection may be silent before it is asked whether it is there, how often it is asked, both
/// in seconds, how many times; and for how many milliseconds what was sent may stay unanswered.
const SILENCE: (u32, u32, u32, u32) = (10, 5, 4, 30_000);

/// A network namespace, and how to use it from outside.
#[derive(Debug)]
pub struct Namespace {
    netns: Netns,
    /// None for the one that we are in.
    handles: Option<Handles>,
    spare: Mutex<Spare>,
}

#[derive(Debug)]
struct Handles {
    /// The user namespace that it belongs to, if that is not ours.
    user: Option<OwnedFd>,
    net: OwnedFd,
}

/// `/dev/net/tun` descriptors that were opened in advance, a child for many.
#[derive(Debug, Default)]
struct Spare {
    tuns: Vec<OwnedFd>,
    /// How many are still going to be asked for, as far as is known.
    expected: usize,
}

impl Namespace {
    /// The namespace that is wanted.
    ///
    /// # Errors
    /// This host or this user cannot have it.
    pub fn open(netns: &Netns) -> Result<Self, NamespaceError> {
        let handles = match netns {
            Netns::Private => Some(fresh()?),
            Netns::Named(name) => Some(named(name)?),
            Netns::Here => None,
        };
        Ok(Self { netns: netns.clone(), handles, spare: Mutex::default() })
    }

    /// A new one that nobody else has, with nothing but the loopback in it. Needs no privilege.
    ///
    /// # Errors
    /// This host does not let this user have one.
    pub fn private() -> Result<Self, NamespaceError> {
        Self::open(&Netns::Private)
    }

    /// A new one that belongs to this user: in a user namespace of the user's, who is in it who he was, and who may enter
    /// both without any privilege. Only root may make it for others, and may also where users may make none.
    ///
    /// # Errors
    /// This process has not the privileges, or the host has no user namespaces.
    pub fn private_of(uid: u32, gid: u32) -> Result<Self, NamespaceError> {
        let maps = IdMaps::of(uid, gid);
        let made = child::fetch(&Target::FreshFor(&maps), Open::Namespaces);
        let made = made.map_err(|failure| NamespaceError::forbidden(failure.stage, failure.source))?;
        Ok(Self { netns: Netns::Private, handles: Some(handles(made, true)?), spare: Mutex::default() })
    }

    /// The one that this process is in.
    pub const fn here() -> Self {
        let spare = Mutex::new(Spare { tuns: Vec::new(), expected: 0 });
        Self { netns: Netns::Here, handles: None, spare }
    }

    /// One that is held by files: of the user namespace, if it belongs to another than ours, and of its own.
    ///
    /// # Errors
    /// The files cannot be opened.
    pub fn from_files(netns: Netns, user: Option<&Path>, net: &Path) -> io::Result<Self> {
        let user = user.map(File::open).transpose()?.map(OwnedFd::from).and_then(userns_owner::enterable);
        let handles = Handles { user, net: File::open(net)?.into() };
        Ok(Self { netns, handles: Some(handles), spare: Mutex::default() })
    }

    /// One that somebody has handed over: by its descriptor and, if it belongs to another user namespace than ours, by that
    /// one's. They are as [`descriptors`](Self::descriptors) gave them.
    pub fn from_descriptors(netns: Netns, user: Option<OwnedFd>, net: OwnedFd) -> Self {
        Self { netns, handles: Some(Handles { user, net }), spare: Mutex::default() }
    }

    /// Which one it is.
    pub const fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Its descriptor and that of the user namespace it belongs to, for those who enter it; none for the one that we are
    /// in.
    pub fn descriptors(&self) -> Option<(Option<BorrowedFd<'_>>, BorrowedFd<'_>)> {
        self.handles.as_ref().map(|handles| (handles.user.as_ref().map(AsFd::as_fd), handles.net.as_fd()))
    }

    /// The kernel's number of it, which no other namespace has while this one lives.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn id(&self) -> io::Result<u64> {
        let stat = match &self.handles {
            Some(handles) => fstat(&handles.net)?,
            None => fstat(&File::open("/proc/thread-self/ns/net")?)?,
        };
        Ok(stat.st_ino)
    }

    /// A socket in it (socket(2)), close-on-exec.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn socket(&self, family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
        let opened = self.fetch(Open::Socket(family, kind, protocol))?;
        opened.into_iter().next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// A route-netlink socket in it: links, addresses, routes.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn netlink(&self) -> io::Result<OwnedFd> {
        self.socket(libc::AF_NETLINK, libc::SOCK_RAW | libc::SOCK_NONBLOCK, libc::NETLINK_ROUTE)
    }

    /// Says that about so many taps are going to be made, so that a child opens many at a time.
    pub fn expect_tuns(&self, count: usize) {
        self.spare().expected += count;
    }

    /// An open `/dev/net/tun` in it. What becomes of it is for the caller to say, by `TUNSETIFF`.
    ///
    /// # Errors
    /// The file is not there or not for us: [`NamespaceError::Tun`].
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

    /// Connects to an address in it. How long that may take is for the caller to say. Must run in a tokio runtime.
    ///
    /// # Errors
    /// Nobody accepts there.
    pub async fn connect(&self, to: SocketAddr) -> io::Result<TcpStream> {
        let family = if to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let socket = self.socket(family, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0)?;
        // A VM that is killed says no farewell: without these, whoever reads would wait for ever, and keep the namespace.
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
    // Root of a host that has forbidden user namespaces to everybody needs none.
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
    // One that `ip netns add` made belongs to no user namespace but the host's.
    let handles = Handles { user: open(name.user_file())?.and_then(userns_owner::enterable), net };
    let place = Target::Existing { user: handles.user.as_ref().map(AsFd::as_fd), net: handles.net.as_fd() };
    let entered = child::fetch(&place, Open::Namespaces);
    entered.map_err(|failure| match Errno::from_raw(failure.source.raw_os_error().unwrap_or_default()) {
        Errno::EPERM => NamespaceError::NotYours(name.clone()),
        _ => NamespaceError::Named { name: name.clone(), source: failure.source },
    })?;
    Ok(handles)
}
