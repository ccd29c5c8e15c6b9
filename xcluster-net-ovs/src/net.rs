//! The bridge of a net, with all that its ports share: making and removing it. The caller holds the host locks.

use xcluster_core::host::{Namespace, Netns};
use xcluster_core::net::{Net, NetError};
use xcluster_core::netlink::link::{Link, LinkChange, LinkSelector, refuse_router_advertisements};
use xcluster_core::netlink::tap::{self, NewTap};
use xcluster_core::netlink::{Netlink, NetlinkError};

use crate::config::{Instance, OvsConfig};
use crate::error::SwitchError;
use crate::names::{self, DATAPATH, DATAPATH_MARK, Names};
use crate::switch::{Datapath, Switch, VsctlCommand};
use crate::{flows, row_owner, tunnel, vsctl_commands};

/// The parts that making a net needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NetContext<'a> {
    pub(crate) config: &'a OvsConfig,
    pub(crate) names: &'a Names,
    pub(crate) namespace: &'a Namespace,
    pub(crate) netlink: &'a Netlink,
    pub(crate) switch: &'a Switch,
}

/// Makes the bridge of a net. What a cluster left of it is removed first.
pub(crate) async fn make(context: NetContext<'_>, net: &Net) -> Result<(), NetError> {
    let NetContext { config, names, switch, .. } = context;
    let settings = config.net(net.id);
    clear_name(context, net).await?;
    if switch.datapath == Datapath::Netdev {
        make_persistent(context, net, &names.bridge(net.id), true).await?;
        if settings.mirror {
            make_persistent(context, net, &names.capture(net.id), false).await?;
        }
    }
    let netns = context.namespace.id().map_err(|source| NetError::io("look at the network namespace", source))?;
    make_bridge(switch, &names.bridge(net.id), &vsctl_commands::bridge(names, net, &settings, switch.datapath, netns))
        .await?;
    finish(context, net).await?;
    for (index, tunnel) in settings.tunnels.iter().enumerate() {
        tunnel::make(context, net, &settings.tunnels[..index], tunnel).await?;
    }
    match &settings.flows {
        Some(file) => flows::put(switch, &names.bridge(net.id), file).await,
        None => Ok(()),
    }
}

/// How often making a bridge is tried while its links are open elsewhere.
const ATTEMPTS: usize = 5;

/// Makes a bridge. A process that was forked meanwhile has its links open until it executes a program. Then the switch cannot
/// open them, and the bridge is made again.
async fn make_bridge(switch: &Switch, name: &str, command: &VsctlCommand) -> Result<(), SwitchError> {
    for _ in 1..ATTEMPTS {
        match switch.transact(command.clone()).await {
            Err(SwitchError::Interface { .. }) => switch.transact(vsctl_commands::remove_bridge(name)).await?,
            outcome => return outcome,
        }
    }
    switch.transact(command.clone()).await
}

/// Removes an object of this cluster that has the bridge's name, in the database and among links.
async fn clear_name(context: NetContext<'_>, net: &Net) -> Result<(), NetError> {
    let name = context.names.bridge(net.id);
    if context.config.instance == Instance::System {
        match row_owner::row_owner(context.switch, "Bridge", &name, context.names).await? {
            row_owner::RowOwner::Ours => context.switch.transact(vsctl_commands::remove_bridge(&name)).await?,
            row_owner::RowOwner::Foreign => return Err(NetError::Conflict { object: name }),
            row_owner::RowOwner::Absent => {}
        }
    }
    match context.netlink.link(&name).await? {
        Some(link) if !context.names.owns(&link) => Err(NetError::Conflict { object: name }),
        Some(link) => Ok(context.netlink.remove(LinkSelector::Index(link.index)).await?),
        None => Ok(()),
    }
}

/// Makes a link that the switch opens by name. It has its mark from the start, because the switch makes its links persistent,
/// and they stay when it is killed.
async fn make_persistent(context: NetContext<'_>, net: &Net, name: &str, own_address: bool) -> Result<(), NetError> {
    let tap = NewTap {
        name,
        mark: &context.names.net_mark(net.id),
        group: context.names.group(net.id),
        mtu: net.mtu,
        controller: None,
        queues: 1,
        offloads: false,
        own_address,
    };
    Ok(tap::make_persistent(context.namespace, context.netlink, &tap, |link| context.names.owns(link)).await?)
}

/// Makes the link of the datapath.
pub(crate) async fn make_datapath(namespace: &Namespace, netlink: &Netlink) -> Result<(), NetError> {
    let tap = NewTap {
        name: DATAPATH,
        mark: DATAPATH_MARK,
        group: names::datapath_group(),
        mtu: 1500,
        controller: None,
        queues: 1,
        offloads: false,
        own_address: false,
    };
    Ok(tap::make_persistent(namespace, netlink, &tap, names::is_datapath).await?)
}

/// Gives the host's link its mark and addresses, and brings links up.
async fn finish(context: NetContext<'_>, net: &Net) -> Result<(), NetError> {
    let NetContext { config, names, netlink, .. } = context;
    let (name, mark) = (names.bridge(net.id), names.net_mark(net.id));
    let up = config.has_host(net.id).then_some(true);
    let change = LinkChange { alias: Some(&mark), up, ..LinkChange::default() };
    netlink.change(LinkSelector::Name(&name), &change).await?;
    if config.has_host(net.id) {
        add_host(context, net, &name).await?;
    }
    if config.net(net.id).mirror {
        let change = LinkChange { alias: Some(&mark), up: Some(true), no_own_address: true, ..LinkChange::default() };
        netlink.change(LinkSelector::Name(&names.capture(net.id)), &change).await?;
    }
    Ok(())
}

async fn add_host(context: NetContext<'_>, net: &Net, name: &str) -> Result<(), NetError> {
    let link = context.netlink.link(name).await?;
    let index = link.ok_or_else(|| NetError::Conflict { object: name.to_owned() })?.index;
    for address in vsctl_commands::host_addresses(net) {
        context.netlink.add_address(index, address).await?;
    }
    if *context.namespace.netns() == Netns::Here {
        // Other programs live in this namespace, too.
        refuse_router_advertisements(name);
    }
    Ok(())
}

/// Removes the bridge of a net and all of its ports. Absent and foreign objects are left alone. Links are removed also if the
/// switch does not answer.
pub(crate) async fn remove(context: NetContext<'_>, net: &Net) -> Result<(), NetError> {
    let told = remove_bridge(context, net).await;
    remove_links(context.netlink, context.names, net).await?;
    told
}

async fn remove_bridge(context: NetContext<'_>, net: &Net) -> Result<(), NetError> {
    let name = context.names.bridge(net.id);
    let ours = match context.config.instance {
        Instance::Private => !context.switch.has_ended(),
        Instance::System => {
            row_owner::row_owner(context.switch, "Bridge", &name, context.names).await? == row_owner::RowOwner::Ours
        }
    };
    if ours { Ok(context.switch.transact(vsctl_commands::remove_bridge(&name)).await?) } else { Ok(()) }
}

/// Removes what is left of a net's links.
pub(crate) async fn remove_links(netlink: &Netlink, names: &Names, net: &Net) -> Result<(), NetlinkError> {
    remove_those(netlink, |link| names.owns_of(link, net.id)).await
}

/// Removes the links that match.
pub(crate) async fn remove_those(netlink: &Netlink, which: impl Fn(&Link) -> bool) -> Result<(), NetlinkError> {
    for link in netlink.links().await?.iter().filter(|link| which(link)) {
        netlink.remove(LinkSelector::Index(link.index)).await?;
    }
    Ok(())
}
