//! The bridge of a net: making and removing it, or using a prepared one and restoring it. The caller holds the net's host
//! lock, so no running cluster uses a bridge of that name.

use xcluster_core::addr::Addressing;
use xcluster_core::host::Netns;
use xcluster_core::name::ClusterName;
use xcluster_core::net::{Net, NetError};
use xcluster_core::netlink::address::Address;
use xcluster_core::netlink::link::{Link, LinkChange, LinkSelector, NewBridge, refuse_router_advertisements};
use xcluster_core::netlink::{Netlink, NetlinkError, ownership};

use crate::error;
use crate::link_owner::LinkOwner;

/// Forwards frames to 01:80:c2:00:00:0E, the address of LLDP. By default a bridge does not forward them.
pub(crate) const FORWARD_LLDP: u16 = 1 << 0xe;

/// An existing bridge.
#[derive(Debug, Clone)]
pub(crate) struct Bridge {
    pub(crate) index: u32,
    /// The properties to restore, if the bridge was prepared.
    borrowed: Option<Borrowed>,
}

/// The properties of a prepared bridge before its use.
#[derive(Debug, Clone)]
struct Borrowed {
    mtu: u32,
    /// Addresses that were added to it.
    added: Vec<Address>,
}

/// Finds the prepared bridge of a net, or makes one. A bridge that another cluster left is removed first.
///
/// A bridge is only ready when it was [finished](finish), so that after an interruption the state shows what to undo.
pub(crate) async fn find_or_make(netlink: &Netlink, netns: &Netns, net: &Net) -> Result<Bridge, NetError> {
    let name = ownership::bridge_name(net.id);
    if let Some(link) = netlink.link(&name).await? {
        match LinkOwner::of(&link) {
            LinkOwner::Prepared => return Ok(borrow(netlink, &link, net).await?),
            LinkOwner::Cluster => clear(netlink, net, &link).await?,
            LinkOwner::Foreign => return Err(NetError::Conflict { object: name }),
        }
    }
    let bridge = NewBridge {
        name: &name,
        group: ownership::group(net.id),
        address: net.addressing.host_mac(net.id).0,
        forward_link_local: FORWARD_LLDP,
    };
    netlink.make_bridge(&bridge).await.map_err(|failure| error::no_bridge(failure, &name, netns))?;
    let link = netlink.link(&name).await?.ok_or(NetError::Conflict { object: name })?;
    Ok(Bridge { index: link.index, borrowed: None })
}

async fn borrow(netlink: &Netlink, link: &Link, net: &Net) -> Result<Bridge, NetlinkError> {
    let there = netlink.addresses(link.index).await?;
    let added = host_addresses(net).into_iter().filter(|address| !there.contains(address)).collect();
    Ok(Bridge { index: link.index, borrowed: Some(Borrowed { mtu: link.mtu, added }) })
}

/// Gives a bridge its mark, its MTU and the host's addresses.
pub(crate) async fn finish(
    netlink: &Netlink,
    netns: &Netns,
    cluster: &ClusterName,
    net: &Net,
    bridge: &Bridge,
) -> Result<(), NetError> {
    let mark = ownership::net_mark(net.id, cluster, nix::unistd::getuid().as_raw());
    let (alias, addresses) = match &bridge.borrowed {
        Some(borrowed) => (None, borrowed.added.clone()),
        None => (Some(mark.as_str()), host_addresses(net).into()),
    };
    let change = LinkChange { alias, mtu: Some(net.mtu), up: Some(true), ..LinkChange::default() };
    let finished = async {
        netlink.change(LinkSelector::Index(bridge.index), &change).await?;
        for address in addresses {
            netlink.add_address(bridge.index, address).await?;
        }
        Ok(())
    };
    finished.await.map_err(|failure| error::refused(failure, netns))?;
    if *netns == Netns::Here {
        // Other programs live in this namespace, too.
        refuse_router_advertisements(&ownership::bridge_name(net.id));
    }
    Ok(())
}

/// Removes the bridge of a net or restores a prepared one, and removes all of the net's taps. Absent and foreign links are
/// left alone.
pub(crate) async fn remove(netlink: &Netlink, net: &Net, bridge: Option<&Bridge>) -> Result<(), NetlinkError> {
    netlink.remove_group(ownership::group(net.id)).await?;
    let Some(link) = netlink.link(&ownership::bridge_name(net.id)).await? else { return Ok(()) };
    match (LinkOwner::of(&link), bridge.and_then(|bridge| bridge.borrowed.as_ref())) {
        (LinkOwner::Cluster, _) => netlink.remove(LinkSelector::Index(link.index)).await,
        (LinkOwner::Prepared, Some(borrowed)) => give_back(netlink, link.index, borrowed).await,
        (LinkOwner::Prepared | LinkOwner::Foreign, _) => Ok(()),
    }
}

/// Removes a bridge that a cluster made, and the taps on it.
async fn clear(netlink: &Netlink, net: &Net, bridge: &Link) -> Result<(), NetlinkError> {
    netlink.remove_group(ownership::group(net.id)).await?;
    netlink.remove(LinkSelector::Index(bridge.index)).await
}

async fn give_back(netlink: &Netlink, index: u32, borrowed: &Borrowed) -> Result<(), NetlinkError> {
    for address in &borrowed.added {
        netlink.remove_address(index, *address).await?;
    }
    let mtu = u16::try_from(borrowed.mtu).ok();
    netlink.change(LinkSelector::Index(index), &LinkChange { mtu, ..LinkChange::default() }).await
}

fn host_addresses(net: &Net) -> [Address; 2] {
    [
        Address { ip: net.host_ipv4().into(), prefix: Addressing::IPV4_LEN },
        Address { ip: net.host_ipv6().into(), prefix: Addressing::IPV6_LEN },
    ]
}
