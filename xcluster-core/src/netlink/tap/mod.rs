//! A tap: made, and gone with its descriptors unless it is to stay. Which taps there are is remembered elsewhere.

mod ioctl;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;

use crate::host::{Namespace, NamespaceError};
use crate::net::NetError;

use super::link::{Link, LinkChange, LinkSelector};
use super::{Netlink, NetlinkError};

use ioctl::{Queue, become_tap, make_permanent};

/// How often a name is tried that is taken: by what an owner left who was killed and whose QEMU is on its way out.
const ATTEMPTS: usize = 3;

/// A tap that is wanted.
#[derive(Debug, Clone, Copy)]
pub struct NewTap<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its alias, by which it is known whose it is.
    pub mark: &'a str,
    /// Its group.
    pub group: u32,
    /// Its MTU in bytes.
    pub mtu: u16,
    /// The bridge of the kernel that it is a port of, if any.
    pub controller: Option<u32>,
    /// Pairs of queues, 1 or more.
    pub queues: u8,
    /// Whether a header before each frame says what is left to do about checksums and segments. Only where whoever takes the
    /// frames reads it.
    pub offloads: bool,
    /// Whether it has an IPv6 address that the kernel makes up. Not where a guest would hear of it.
    pub own_address: bool,
}

/// The queues of a tap. It is gone when they are closed, here and in QEMU.
pub type Queues = Vec<Arc<OwnedFd>>;

/// Why there is no tap.
#[derive(Debug, thiserror::Error)]
pub enum TapError {
    /// A link of its name is somebody else's. It was left as it was.
    #[error("`{0}` is there already and is not ours")]
    Conflict(String),
    /// The kernel did not make it.
    #[error("cannot make tap `{name}`")]
    Refused {
        /// The tap.
        name: String,
        /// The kernel's word.
        #[source]
        errno: Errno,
    },
    /// It could not be given what it was to have.
    #[error(transparent)]
    Link(#[from] NetlinkError),
    /// `/dev/net/tun` could not be opened there.
    #[error(transparent)]
    Tun(#[from] NamespaceError),
}

impl From<TapError> for NetError {
    fn from(error: TapError) -> Self {
        match error {
            TapError::Conflict(object) => Self::Conflict { object },
            TapError::Refused { name, errno } => Self::io(format!("make tap `{name}`"), errno),
            TapError::Link(failure) => failure.into(),
            TapError::Tun(error) => error.into(),
        }
    }
}

/// Makes a tap, brings it up and joins it to its bridge. A link of its name is removed if it is `ours`. Where anything fails
/// nothing is left: its descriptors close.
///
/// # Errors
/// It cannot be made there, or its name belongs to something foreign.
pub async fn make(
    namespace: &Namespace,
    netlink: &Netlink,
    tap: &NewTap<'_>,
    ours: impl Fn(&Link) -> bool,
) -> Result<Queues, TapError> {
    let queues = open(namespace, netlink, tap, &ours).await?;
    let which = LinkSelector::Name(tap.name);
    // Two messages, since of one the kernel would do the last first: the tap would be up, and tell the guest of an address
    // that it made up. They are on their way together.
    let dressed = dress(tap);
    let joined = LinkChange { controller: tap.controller, up: Some(true), ..LinkChange::default() };
    tokio::try_join!(netlink.change(which, &dressed), netlink.change(which, &joined))?;
    Ok(queues)
}

/// Makes a tap that stays until it is removed by name, down and with its mark: for a program that opens it by its name. There
/// is no moment at which it would stay without its mark. A link of its name is removed if it is `ours`.
///
/// # Errors
/// Those of [`make`].
pub async fn make_persistent(
    namespace: &Namespace,
    netlink: &Netlink,
    tap: &NewTap<'_>,
    ours: impl Fn(&Link) -> bool,
) -> Result<(), TapError> {
    let queues = open(namespace, netlink, tap, &ours).await?;
    netlink.change(LinkSelector::Name(tap.name), &dress(tap)).await?;
    let refused = |errno| TapError::Refused { name: tap.name.to_owned(), errno };
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
    let refused = |errno| TapError::Refused { name: tap.name.to_owned(), errno };
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

/// Makes a tap whose name nobody has.
async fn become_new_tap(
    tun: &OwnedFd,
    netlink: &Netlink,
    tap: &NewTap<'_>,
    queue: Queue,
    ours: &impl Fn(&Link) -> bool,
) -> Result<Result<(), Errno>, TapError> {
    for _ in 0..ATTEMPTS {
        match become_tap(tun, tap.name, queue, tap.offloads) {
            // The first if it is a tap, the second if it is anything else.
            Err(Errno::EBUSY | Errno::EINVAL | Errno::EEXIST) => make_room(netlink, tap.name, ours).await?,
            made_or_not => return Ok(made_or_not),
        }
    }
    Ok(Err(Errno::EBUSY))
}

/// Removes what is left of a tap, if anything is. What is not `ours` is left alone.
///
/// # Errors
/// It is there and cannot be removed.
pub async fn remove(netlink: &Netlink, name: &str, ours: impl Fn(&Link) -> bool) -> Result<(), NetlinkError> {
    match make_room(netlink, name, &ours).await {
        Err(TapError::Link(failure)) => Err(failure),
        // It is foreign.
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
