//! Links: what they are, and how they are made, changed and removed. Which ones there should be is not known here.

use nix::errno::Errno;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgeStpState, In6AddrGenMode, InfoKind, LinkAttribute, LinkExtentMask, LinkFlags,
    LinkInfo, LinkMessage,
};
use rtnetlink::{LinkBridge, LinkMessageBuilder, LinkUnspec};

use super::{Netlink, NetlinkError};

/// A link, as far as anybody here wants to know it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// Its number in its namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What made it: `bridge`, `tun`, `veth`; empty for hardware and the loopback.
    pub kind: String,
    /// A text that whoever made it left on it; empty if there is none.
    pub alias: String,
    /// Its group; 0 if nobody chose one.
    pub group: u32,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether somebody has brought it up.
    pub up: bool,
    /// The bridge that it is a port of.
    pub controller: Option<u32>,
}

/// A bridge to be made. It is up, learns, keeps no tree and looks into no multicast.
#[derive(Debug, Clone, Copy)]
pub struct NewBridge<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its group.
    pub group: u32,
    /// Its hardware address. A bridge that is given none takes that of a port, and so changes it when ports come and go.
    pub address: [u8; 6],
    /// Which frames to the link-local addresses 01:80:c2:00:00:0X are forwarded: bit X, as in `group_fwd_mask`.
    pub forward_link_local: u16,
}

/// What is to be different about a link. What is not said stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct LinkChange<'a> {
    /// The text on it.
    pub alias: Option<&'a str>,
    /// Its group.
    pub group: Option<u32>,
    /// Its MTU in bytes.
    pub mtu: Option<u16>,
    /// Up or down.
    pub up: Option<bool>,
    /// The bridge that it becomes a port of.
    pub controller: Option<u32>,
    /// It shall have no IPv6 address that it makes up itself.
    pub no_own_address: bool,
}

/// Which link is meant.
#[derive(Debug, Clone, Copy)]
pub enum LinkSelector<'a> {
    /// The one of this name.
    Name(&'a str),
    /// The one of this number.
    Index(u32),
}

impl Netlink {
    /// The link of this name, if there is one.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
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
    /// What the kernel says, or nothing in time.
    pub async fn links(&self) -> Result<Vec<Link>, NetlinkError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().append_extra_attribute(without_statistics()).build();
        let found = self.list(RouteNetlinkMessage::GetLink(message), || "list the links".to_owned()).await?;
        let link = |message| match message {
            RouteNetlinkMessage::NewLink(message) => Some(read(message)),
            _ => None,
        };
        Ok(found.into_iter().filter_map(link).collect())
    }

    /// Makes a bridge, if nothing has its name (`EEXIST`). A kernel without bridges says `EOPNOTSUPP`.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
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

    /// Makes a link, if nothing has its name.
    pub(super) async fn make_link(
        &self,
        message: LinkMessage,
        action: impl Fn() -> String,
    ) -> Result<(), NetlinkError> {
        self.act(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, action).await
    }

    /// Changes a link, all at once: the kernel does it in the order of MTU, bridge, up, whatever the order in the message.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
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

    /// Removes all links of a group at once: one by one, each would take the kernel some 20 ms. None counts as removed.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
    pub async fn remove_group(&self, group: u32) -> Result<(), NetlinkError> {
        let message = LinkMessageBuilder::<LinkUnspec>::new().link_group(group).build();
        match self.act(RouteNetlinkMessage::DelLink(message), 0, || format!("remove the links of group {group}")).await
        {
            Err(failure) if failure.is(Errno::ENODEV) => Ok(()),
            outcome => outcome,
        }
    }

    /// Removes a link. One that is not there counts as removed.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
    pub async fn remove(&self, which: LinkSelector<'_>) -> Result<(), NetlinkError> {
        let message = RouteNetlinkMessage::DelLink(which.message().build());
        match self.act(message, 0, || format!("remove link {}", which.spoken())).await {
            Err(failure) if failure.is(Errno::ENODEV) => Ok(()),
            outcome => outcome,
        }
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
    // It fails where there is no IPv6, or where nobody may write settings: then there is nothing to refuse, or no way to.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_ra"), "0");
}

/// Statistics are most of what the kernel says about a link, and nobody asks for them here.
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
