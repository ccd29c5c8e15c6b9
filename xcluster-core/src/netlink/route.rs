//! Routes of the main table. Which ones there should be is not known here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteScope, RouteType};

use super::address::Address;
use super::{Netlink, NetlinkError};

/// A route through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Where it leads.
    pub to: Address,
    /// The next hop, of the same family; none where `to` is reached on the link itself.
    pub via: Option<IpAddr>,
    /// The link.
    pub link: u32,
}

/// The way that a packet takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHop {
    /// The link that it leaves by.
    pub link: u32,
    /// It does not leave: the address is one of the namespace's own.
    pub local: bool,
    /// The address that it comes from, if the kernel chooses one.
    pub from: Option<IpAddr>,
    /// The next hop, if it is not the address itself.
    pub via: Option<IpAddr>,
}

impl Netlink {
    /// Adds a route. Returns whether it was not there before.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
    pub async fn add_route(&self, route: &Route) -> Result<bool, NetlinkError> {
        let action = || format!("add the route to {}/{}", route.to.ip, route.to.prefix);
        match self.act(RouteNetlinkMessage::NewRoute(route.message()), NLM_F_CREATE | NLM_F_EXCL, action).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.is(Errno::EEXIST) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Whether an address is one of the namespace's own.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
    pub async fn is_local(&self, ip: IpAddr) -> Result<bool, NetlinkError> {
        Ok(self.next_hop(ip).await?.is_some_and(|way| way.local))
    }

    /// The way that a packet to an address takes; none where there is none.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
    pub async fn next_hop(&self, ip: IpAddr) -> Result<Option<NextHop>, NetlinkError> {
        let to = Address { ip, prefix: if ip.is_ipv4() { 32 } else { 128 } };
        let mut message = Route { to, via: None, link: 0 }.message();
        // Not a route of the main table is asked for, but the one that a packet would take.
        message.attributes.retain(|attribute| matches!(attribute, RouteAttribute::Destination(_)));
        message.header.table = RouteHeader::RT_TABLE_UNSPEC;
        match self.ask(RouteNetlinkMessage::GetRoute(message), || format!("look for address {ip}")).await {
            Ok(RouteNetlinkMessage::NewRoute(route)) => Ok(read(&route)),
            Ok(_) => Ok(None),
            Err(failure) if failure.errno().is_some_and(|errno| NO_WAY.contains(&errno)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// What the kernel answers; none for a route that says that there is no way.
fn read(route: &RouteMessage) -> Option<NextHop> {
    let mut way = NextHop { link: 0, local: route.header.kind == RouteType::Local, from: None, via: None };
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(link) => way.link = *link,
            RouteAttribute::PrefSource(from) => way.from = address(from),
            RouteAttribute::Gateway(via) => way.via = address(via),
            _ => {}
        }
    }
    matches!(route.header.kind, RouteType::Local | RouteType::Unicast).then_some(way)
}

fn address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some((*ip).into()),
        RouteAddress::Inet6(ip) => Some((*ip).into()),
        _ => None,
    }
}

/// What the kernel says of an address that no packet goes to: there is no route, or one that says so (unreachable, prohibit,
/// blackhole), or no such family.
const NO_WAY: [Errno; 6] =
    [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES, Errno::EINVAL, Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT];

impl Route {
    fn message(&self) -> RouteMessage {
        // What is on the link has the scope of one, else the kernel takes no gateway behind it.
        let scope = if self.via.is_some() { RouteScope::Universe } else { RouteScope::Link };
        match (self.to.ip, self.via) {
            (IpAddr::V4(to), via) => {
                let mut route = RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, self.to.prefix);
                if let Some(IpAddr::V4(via)) = via {
                    route = route.gateway(via);
                }
                route.scope(scope).output_interface(self.link).build()
            }
            (IpAddr::V6(to), via) => {
                let mut route = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to, self.to.prefix);
                if let Some(IpAddr::V6(via)) = via {
                    route = route.gateway(via);
                }
                route.output_interface(self.link).build()
            }
        }
    }
}
