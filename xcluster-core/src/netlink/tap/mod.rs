//! Making and removing taps. A tap ends with its descriptors, unless it is made persistent.

mod ioctl;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;

use crate::error_chain;
use crate::host::{Namespace, NamespaceError};
use crate::net::NetError;

use super::link::{Link, LinkChange, LinkSelector};
use super::{Netlink, NetlinkError};

use ioctl::{Queue, become_tap, make_permanent};

/// How often a taken name is tried. The QEMU of a killed owner may still be exiting.
const ATTEMPTS: usize = 3;

/// A tap to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewTap<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its alias, which carries the ownership mark.
    pub mark: &'a str,
    /// Its group.
    pub group: u32,
    /// Its MTU in bytes.
    pub mtu: u16,
    /// The index of the bridge that it becomes a port of.
    pub controller: Option<u32>,
    /// Queue pairs, 1 or more.
    pub queues: u8,
    /// Whether a header before each frame describes pending checksums and segmentation. Only for a reader of frames that
    /// understands the header.
    pub offloads: bool,
    /// Whether the kernel assigns an IPv6 address. Not where a guest would learn of it.
    pub own_address: bool,
}

/// The queues of a tap. It ends when they are closed here and in QEMU.
pub type Queues = Vec<Arc<OwnedFd>>;

/// Why a tap was not made.
#[derive(thiserror::Error)]
pub enum TapError {
    /// A foreign link has its name. It is left as it was.
    #[error("`{0}` is there already and is not ours")]
    Conflict(String),
    /// The kernel refused it.
    #[error("cannot make tap `{name}`")]
    Refused {
        /// The tap's name.
        name: String,
        /// The kernel's error.
        source: io::Error,
    },
    /// Its properties could not be set.
    #[error(transparent)]
    Link(#[from] NetlinkError),
    /// `/dev/net/tun` could not be opened there.
    #[error(transparent)]
    Tun(#[from] NamespaceError),
}

error_chain::readable_debug!(TapError);

impl From<TapError> for NetError {
    fn from(error: TapError) -> Self {
        match error {
            TapError::Conflict(object) => Self::Conflict { object },
            TapError::Refused { name, source } => Self::io(format!("make tap `{name}`"), source),
            TapError::Link(failure) => failure.into(),
            TapError::Tun(error) => error.into(),
        }
    }
}

/// Makes a tap, brings it up and joins it to its bridge. A link of its name is removed if it is `ours`. After an error
/// nothing is left, since the descriptors close.
///
/// # Errors
/// The kernel refuses it, or a foreign link has the name.
pub async fn make(
    namespace: &Namespace,
    netlink: &Netlink,
    tap: &NewTap<'_>,
    ours: impl Fn(&Link) -> bool,
) -> Result<Queues, TapError> {
    let queues = open(namespace, netlink, tap, &ours).await?;
    let which = LinkSelector::Name(tap.name);
    // Two messages: in a single one the kernel would bring the tap up first, and it would announce an IPv6 address to the
    // guest. They are sent together.
    let dressed = dress(tap);
    let joined = LinkChange { controller: tap.controller, up: Some(true), ..LinkChange::default() };
    tokio::try_join!(netlink.change(which, &dressed), netlink.change(which, &joined))?;
    Ok(queues)
}

/// Makes a persistent tap, down and with its mark, for a program that opens it by name. It is marked before it is persistent,
/// so none is ever left without a mark. A link of its name is removed if it is `ours`.
///
/// # Errors
/// As for [`make`].
pub async fn make_persistent(
    namespace: &Namespace,
    netlink: &Netlink,
    tap: &NewTap<'_>,
    ours: impl Fn(&Link) -> bool,
) -> Result<(), TapError> {
    let queues = open(namespace, netlink, tap, &ours).await?;
    netlink.change(LinkSelector::Name(tap.name), &dress(tap)).await?;
    let refused = |errno: Errno| TapError::Refused { name: tap.name.to_owned(), source: errno.into() };
    queues.iter().try_for_each(|queue| make_permanent(queue)).map_err(refused)
}

fn dress<'a>(tap: &NewTap<'a>) -> LinkChange<'a> {
    LinkChange {
        alias: Some(tap.mark),
        group: Some(tap.group),
        mtu: Some(tap.mtu),
        no_own_address: !tap.own_address,
        ..LinkChange::default()
    }
}

async fn open(
    namespace: &Namespace,
    netlink: &Netlink,
    tap: &NewTap<'_>,
    ours: &impl Fn(&Link) -> bool,
) -> Result<Queues, TapError> {
    let mut queues = Queues::new();
    let refused = |errno: Errno| TapError::Refused { name: tap.name.to_owned(), source: errno.into() };
    for number in 0..tap.queues {
        let queue = match (number, tap.queues) {
            (_, 1) => Queue::Only,
            (0, _) => Queue::First,
            _ => Queue::Further,
        };
        let tun = namespace.tun()?;
        if queue == Queue::Further {
            become_tap(&tun, tap.name, queue, tap.offloads).map_err(refused)?;
        } else {
            become_new_tap(&tun, netlink, tap, queue, ours).await?.map_err(refused)?;
        }
        queues.push(Arc::new(tun));
    }
    Ok(queues)
}

/// Makes a tap, after a link of ours with its name was removed.
async fn become_new_tap(
    tun: &OwnedFd,
    netlink: &Netlink,
    tap: &NewTap<'_>,
    queue: Queue,
    ours: &impl Fn(&Link) -> bool,
) -> Result<Result<(), Errno>, TapError> {
    for _ in 0..ATTEMPTS {
        match become_tap(tun, tap.name, queue, tap.offloads) {
            // EBUSY for an existing tap, EINVAL for any other link.
            Err(Errno::EBUSY | Errno::EINVAL | Errno::EEXIST) => make_room(netlink, tap.name, ours).await?,
            made_or_not => return Ok(made_or_not),
        }
    }
    Ok(Err(Errno::EBUSY))
}

/// Removes what is left of a tap, if anything is. A link that is not `ours` is left alone.
///
/// # Errors
/// It exists and cannot be removed.
pub async fn remove(netlink: &Netlink, name: &str, ours: impl Fn(&Link) -> bool) -> Result<(), NetlinkError> {
    match make_room(netlink, name, &ours).await {
        Err(TapError::Link(failure)) => Err(failure),
        // A foreign link.
        _ => Ok(()),
    }
}

/// Removes the link of this name if it is ours.
async fn make_room(netlink: &Netlink, name: &str, ours: &impl Fn(&Link) -> bool) -> Result<(), TapError> {
    match netlink.link(name).await? {
        None => Ok(()),
        Some(link) if ours(&link) => Ok(netlink.remove(LinkSelector::Index(link.index)).await?),
        Some(_) => Err(TapError::Conflict(name.to_owned())),
    }
}
