//! A tap: made, joined to its bridge, and gone with its descriptors. Which taps there are is remembered elsewhere.

mod ioctl;

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::errno::Errno;
use xcluster_core::host::Namespace;
use xcluster_core::net::NetError;

use crate::error;
use crate::names::Owner;
use crate::netlink::Netlink;
use crate::netlink::link::{Change, Which};

use ioctl::{Queue, become_tap};

/// How often a name is tried that is taken: by what an owner left who was killed and whose QEMU is on its way out.
const ATTEMPTS: usize = 3;

/// A tap that is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewTap<'a> {
    pub(crate) name: &'a str,
    /// Its owner mark.
    pub(crate) mark: &'a str,
    pub(crate) group: u32,
    pub(crate) mtu: u16,
    /// The bridge that it is a port of.
    pub(crate) bridge: u32,
    pub(crate) queues: u8,
}

/// The queues of a tap. It is gone when they are closed, here and in QEMU.
pub(crate) type Queues = Vec<Arc<OwnedFd>>;

/// Makes a tap and joins it to its bridge. Where that fails nothing is left: its descriptors close.
pub(crate) async fn make(namespace: &Namespace, netlink: &Netlink, tap: &NewTap<'_>) -> Result<Queues, NetError> {
    let queues = open(namespace, netlink, tap).await?;
    let which = Which::Name(tap.name);
    // Two messages, since of one the kernel would do the last first: the tap would be up, and tell the guest of an address
    // that it made up. They are on their way together.
    let dressed = Change {
        alias: Some(tap.mark),
        group: Some(tap.group),
        mtu: Some(tap.mtu),
        no_own_address: true,
        ..Change::default()
    };
    let joined = Change { controller: Some(tap.bridge), up: Some(true), ..Change::default() };
    let together = tokio::try_join!(netlink.change(which, &dressed), netlink.change(which, &joined));
    together.map_err(|failure| error::refused(failure, namespace.wanted()))?;
    Ok(queues)
}

async fn open(namespace: &Namespace, netlink: &Netlink, tap: &NewTap<'_>) -> Result<Queues, NetError> {
    let mut queues = Queues::new();
    let no_tap = |errno| error::no_tap(errno, tap.name, namespace.wanted());
    for number in 0..tap.queues {
        let queue = match (number, tap.queues) {
            (_, 1) => Queue::Only,
            (0, _) => Queue::First,
            _ => Queue::Further,
        };
        let tun = namespace.tun()?;
        if queue == Queue::Further {
            become_tap(&tun, tap.name, queue).map_err(no_tap)?;
        } else {
            become_new_tap(&tun, netlink, tap.name, queue).await?.map_err(no_tap)?;
        }
        queues.push(Arc::new(tun));
    }
    Ok(queues)
}

/// Makes a tap whose name nobody has. What has it and was a cluster's is removed: the net is ours alone.
async fn become_new_tap(
    tun: &OwnedFd,
    netlink: &Netlink,
    name: &str,
    queue: Queue,
) -> Result<Result<(), Errno>, NetError> {
    for _ in 0..ATTEMPTS {
        match become_tap(tun, name, queue) {
            // The first if it is a tap, the second if it is anything else.
            Err(Errno::EBUSY | Errno::EINVAL | Errno::EEXIST) => make_room(netlink, name).await?,
            made_or_not => return Ok(made_or_not),
        }
    }
    Ok(Err(Errno::EBUSY))
}

/// Removes what is left of a tap, if anything is. A stranger's link of its name is left alone.
pub(crate) async fn remove(netlink: &Netlink, name: &str) -> Result<(), NetError> {
    match make_room(netlink, name).await {
        Err(NetError::Conflict { .. }) => Ok(()),
        outcome => outcome,
    }
}

/// Removes the link of this name if it was a cluster's.
async fn make_room(netlink: &Netlink, name: &str) -> Result<(), NetError> {
    match netlink.link(name).await? {
        None => Ok(()),
        Some(link) if Owner::of(&link) == Owner::Cluster => Ok(netlink.remove(Which::Index(link.index)).await?),
        Some(_) => Err(NetError::Conflict { object: name.to_owned() }),
    }
}
