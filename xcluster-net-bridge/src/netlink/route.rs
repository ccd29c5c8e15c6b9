//! Routes of the main table. Which ones there should be is not known here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;
use rtnetlink::RouteMessageBuilder;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::{RouteAttribute, RouteHeader, RouteMessage, RouteScope, RouteType};

use super::address::Address;
use super::{Failure, Netlink};

/// A route through a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    /// Where it leads.
    pub(crate) to: Address,
    /// The next hop, of the same family; none where `to` is reached on the link itself.
    pub(crate) via: Option<IpAddr>,
    /// The link.
    pub(crate) link: u32,
}

impl Netlink {
    /// Adds a route. Returns whether it was not there before.
    pub(crate) async fn add_route(&self, route: &Route) -> Result<bool, Failure> {
        let action = || format!("add the route to {}/{}", route.to.ip, route.to.prefix);
        match self.act(RouteNetlinkMessage::NewRoute(route.message()), NLM_F_CREATE | NLM_F_EXCL, action).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.is(Errno::EEXIST) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Whether an address is one of the namespace's own.
    pub(crate) async fn is_local(&self, ip: IpAddr) -> Result<bool, Failure> {
        let to = Address { ip, prefix: if ip.is_ipv4() { 32 } else { 128 } };
        let mut message = Route { to, via: None, link: 0 }.message();
        // Not a route of the main table is asked for, but the one that a packet would take.
        message.attributes.retain(|attribute| matches!(attribute, RouteAttribute::Destination(_)));
        message.header.table = RouteHeader::RT_TABLE_UNSPEC;
        match self.ask(RouteNetlinkMessage::GetRoute(message), || format!("look for address {ip}")).await {
            Ok(RouteNetlinkMessage::NewRoute(route)) => Ok(route.header.kind == RouteType::Local),
            Ok(_) => Ok(false),
            Err(failure) if failure.errno().is_some_and(|errno| NO_WAY.contains(&errno)) => Ok(false),
            Err(failure) => Err(failure),
        }
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
