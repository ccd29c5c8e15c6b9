//! Routes of the main table.

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
    /// The destination.
    pub to: Address,
    /// The next hop, of the same family; `None` where `to` is on the link itself.
    pub via: Option<IpAddr>,
    /// The index of the link.
    pub link: u32,
}

/// The route of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NextHop {
    /// The index of the link that it leaves by.
    pub link: u32,
    /// Whether the address is one of the namespace's own, so that the packet does not leave.
    pub local: bool,
    /// The source address, if the kernel chooses one.
    pub from: Option<IpAddr>,
    /// The next hop, if it is not the destination.
    pub via: Option<IpAddr>,
}

impl Netlink {
    /// Adds a route. Returns whether it is new.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
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
    /// The kernel refuses, or does not answer in time.
    pub async fn is_local(&self, ip: IpAddr) -> Result<bool, NetlinkError> {
        Ok(self.next_hop(ip).await?.is_some_and(|way| way.local))
    }

    /// The route of a packet to an address; `None` without one.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
    pub async fn next_hop(&self, ip: IpAddr) -> Result<Option<NextHop>, NetlinkError> {
        let to = Address { ip, prefix: if ip.is_ipv4() { 32 } else { 128 } };
        let mut message = Route { to, via: None, link: 0 }.message();
        // Asks for the route of a packet, not for an entry of the main table.
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

/// Reads the kernel's answer; `None` for a route that forbids packets.
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

/// The errors for an address without a route, with one that forbids packets (unreachable, prohibit, blackhole), or of a
/// family that the kernel lacks.
const NO_WAY: [Errno; 6] =
    [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EACCES, Errno::EINVAL, Errno::EOPNOTSUPP, Errno::EAFNOSUPPORT];

impl Route {
    fn message(&self) -> RouteMessage {
        // A destination on the link has link scope; otherwise the kernel accepts no gateway behind it.
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
