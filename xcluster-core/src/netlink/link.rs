//! Links: reading, making, changing and removing them.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgeStpState, In6AddrGenMode, InfoData, InfoKind, InfoVeth, LinkAttribute,
    LinkExtentMask, LinkFlags, LinkInfo, LinkMessage,
};
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::{Netlink, NetlinkError};

/// The properties of a link that backends use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its driver: `bridge`, `tun`, `veth`; empty for hardware and the loopback.
    pub kind: String,
    /// A text that its maker put on it; empty if there is none.
    pub alias: String,
    /// Its group; 0 by default.
    pub group: u32,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether it is up.
    pub up: bool,
    /// The index of the bridge that it is a port of.
    pub controller: Option<u32>,
}

/// A bridge to be made. It is up and learns addresses, without spanning tree and multicast snooping.
#[derive(Debug, Clone, Copy)]
pub struct NewBridge<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its group.
    pub group: u32,
    /// Its hardware address. Without one, a bridge takes that of a port, which changes as ports come and go.
    pub address: [u8; 6],
    /// The link-local addresses 01:80:c2:00:00:0X whose frames it forwards: bit X, as in `group_fwd_mask`.
    pub forward_link_local: u16,
}

/// Changes to a link. Fields that are not set stay.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkChange<'a> {
    /// The alias.
    pub alias: Option<&'a str>,
    /// The group.
    pub group: Option<u32>,
    /// The MTU in bytes.
    pub mtu: Option<u16>,
    /// Up or down.
    pub up: Option<bool>,
    /// The index of the bridge that it becomes a port of.
    pub controller: Option<u32>,
    /// Disables the IPv6 address that the kernel assigns by itself.
    pub no_own_address: bool,
}

/// Selects a link.
#[derive(Debug, Clone, Copy)]
pub enum LinkSelector<'a> {
    /// By name.
    Name(&'a str),
    /// By index.
    Index(u32),
}

impl Netlink {
    /// The link of this name, if there is one.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
    pub async fn link(&self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let message = LinkUnspec::new_with_name(name).append_extra_attribute(without_statistics()).build();
        let found = self.ask(RouteNetlinkMessage::GetLink(message), || format!("look for link `{name}`")).await;
        match found {
            Ok(RouteNetlinkMessage::NewLink(message)) => Ok(Some(read(message))),
            Ok(_) => Ok(None),
            Err(failure) if failure.is(Errno::ENODEV) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// All links of the namespace.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
    pub async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().append_extra_attribute(without_statistics()).build();
        let found = self.list(RouteNetlinkMessage::GetLink(message), || "list the links".to_owned()).await?;
        let link = |message| match message {
            RouteNetlinkMessage::NewLink(message) => Some(read(message)),
            _ => None,
        };
        Ok(found.into_iter().filter_map(link).collect())
    }

    /// Makes a bridge, unless the name exists (`EEXIST`). A kernel without bridges answers `EOPNOTSUPP`.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
    pub async fn make_bridge(&self, bridge: &NewBridge<'_>) -> Result<(), NetlinkError> {
        let message = LinkBridge::new(bridge.name)
            .address(bridge.address.to_vec())
            .link_group(bridge.group)
            .stp_state(BridgeStpState::Disabled)
            .forward_delay(0)
            .mcast_snooping(false)
            .group_fwd_mask(bridge.forward_link_local)
            .build();
        self.make_link(message, || format!("make bridge `{}`", bridge.name)).await
    }

    /// Makes a link, unless the name exists.
    pub(super) async fn make_link(
        &self,
        message: LinkMessage,
        action: impl Fn() -> String,
    ) -> Result<(), NetlinkError> {
        self.act(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, action).await
    }

    /// Changes a link in one request. The kernel applies MTU, then bridge, then up, whatever the order in the message.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
    pub async fn change(&self, which: LinkSelector<'_>, change: &LinkChange<'_>) -> Result<(), NetlinkError> {
        let mut message = which.message();
        if let Some(alias) = change.alias {
            message = message.alias(alias);
        }
        if let Some(group) = change.group {
            message = message.link_group(group);
        }
        if let Some(mtu) = change.mtu {
            message = message.mtu(mtu.into());
        }
        if let Some(controller) = change.controller {
            message = message.controller(controller);
        }
        if change.no_own_address {
            let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
            let of_ipv6 = LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]);
            message = message.append_extra_attribute(of_ipv6);
        }
        message = match change.up {
            Some(true) => message.up(),
            Some(false) => message.down(),
            None => message,
        };
        self.set_link(message.build(), || format!("set up link {}", which.spoken())).await
    }

    /// Changes a link.
    pub(super) async fn set_link(&self, message: LinkMessage, action: impl Fn() -> String) -> Result<(), NetlinkError> {
        self.act(RouteNetlinkMessage::SetLink(message), 0, action).await
    }

    /// Removes all links of a group with one request: one by one, each takes the kernel about 20 ms. An empty group is no
    /// error.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
    pub async fn remove_group(&self, group: u32) -> Result<(), NetlinkError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().link_group(group).build();
        match self.act(RouteNetlinkMessage::DelLink(message), 0, || format!("remove the links of group {group}")).await
        {
            Err(failure) if failure.is(Errno::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }

    /// Removes a link. An absent one is no error.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
    pub async fn remove(&self, which: LinkSelector<'_>) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelLink(which.message().build());
        match self.act(message, 0, || format!("remove link {}", which.spoken())).await {
            Err(failure) if failure.is(Errno::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }

    /// Makes a veth pair, which connects two network namespaces: `name` here and `peer` in the other network namespace, both down. If one of the names exists (`EEXIST`),
    /// neither is made.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
    pub async fn make_veth(&self, name: &str, peer: &str, there: BorrowedFd<'_>) -> Result<(), NetlinkError> {
        let peer = LinkUnspec::new_with_name(peer).setns_by_fd(there.as_raw_fd()).build();
        let message =
            LinkMessageBuilder::<LinkVeth>::new(name, "").set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).build();
        self.make_link(message, || format!("make link `{name}`")).await
    }
}

impl LinkSelector<'_> {
    fn message(&self) -> LinkMessageBuilder<LinkUnspec> {
        match *self {
            Self::Name(name) => LinkUnspec::new_with_name(name),
            Self::Index(index) => LinkUnspec::new_with_index(index),
        }
    }

    fn spoken(&self) -> String {
        match self {
            Self::Name(name) => format!("`{name}`"),
            Self::Index(index) => format!("number {index}"),
        }
    }
}

/// Makes this process's namespace ignore router advertisements from a link. A guest that advertises itself as a router must
/// not become the host's router.
pub fn refuse_router_advertisements(name: &str) {
    // It fails where there is no IPv6, and where no program may write settings.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_ra"), "0");
}

/// Statistics are the largest part of an answer, and are not used here.
fn without_statistics() -> LinkAttribute {
    LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats])
}

fn read(message: LinkMessage) -> Link {
    let up = message.header.flags.contains(LinkFlags::Up);
    let mut link = Link { index: message.header.index, up, ..Link::default() };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = alias,
            LinkAttribute::Group(group) => link.group = group,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Controller(index) => link.controller = Some(index),
            LinkAttribute::LinkInfo(info) => link.kind = kind(&info).unwrap_or_default(),
            _ => {}
        }
    }
    link
}

fn kind(info: &[LinkInfo]) -> Option<String> {
    info.iter().find_map(|info| match info {
        LinkInfo::Kind(InfoKind::Other(kind)) => Some(kind.clone()),
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    })
}
