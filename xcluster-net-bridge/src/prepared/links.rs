//! The links of a prepared namespace: the veth pair to the host, with addresses and routes at both ends, and the bridges.
//! Existing links stay as they are.

use std::net::IpAddr;

use xcluster_core::addr::Addressing;
use xcluster_core::host::Namespace;
use xcluster_core::name::NetId;
use xcluster_core::netlink::address::Address;
use xcluster_core::netlink::link::{Link, LinkChange, LinkSelector, NewBridge};
use xcluster_core::netlink::route::Route;
use xcluster_core::netlink::{Netlink, ownership};

use super::error::{Obstacle, PreparedError};
use super::in_namespace::in_namespace;
use super::index::{Ends, Index};
use super::settings;
use super::state_file::Entry;
use crate::bridge::FORWARD_LLDP;
use crate::link_owner::PREPARED_MARK;

/// How many bridges are made: one for each net of the default topology.
const BRIDGES: u8 = 3;

/// The namespace and the host, with a netlink connection to each.
#[derive(Debug)]
pub(super) struct LinkSetup<'a> {
    pub(super) index: Index,
    pub(super) namespace: &'a Namespace,
    pub(super) host: Netlink,
    pub(super) inner: Netlink,
    /// The new links, for people.
    pub(super) made: Vec<String>,
}

impl LinkSetup<'_> {
    /// The veth pair: the host's end, the other end, then the routes.
    pub(super) async fn connect(&mut self) -> Result<(), PreparedError> {
        let (host_link, inner_link) = (self.index.host_link(), self.index.inner_link());
        let (host, inner) = self.ends(&host_link, &inner_link).await?;
        settings::ready_ipv6(&host_link)?;
        in_namespace(self.namespace, || settings::ready_ipv6(&inner_link))??;
        let (here, there) = (self.index.host(), self.index.inner());
        occupy(&self.host, host.index, here).await?;
        occupy(&self.inner, inner.index, there).await?;
        for to in ips(there) {
            self.host.add_route(&Route { to, via: None, link: host.index }).await?;
        }
        for to in ips(here) {
            self.inner.add_route(&Route { to, via: None, link: inner.index }).await?;
            let everywhere = Address { ip: unspecified(to.ip), prefix: 0 };
            self.inner.add_route(&Route { to: everywhere, via: Some(to.ip), link: inner.index }).await?;
        }
        Ok(())
    }

    /// Both ends. If only one is in its namespace, the other was removed or moved.
    async fn ends(&mut self, host_link: &str, inner_link: &str) -> Result<(Link, Link), PreparedError> {
        let found = (self.host.link(host_link).await?, self.inner.link(inner_link).await?);
        match found {
            (Some(host), Some(inner)) => return Ok((host, inner)),
            (Some(host), None) => self.host.remove(LinkSelector::Index(host.index)).await?,
            (None, Some(inner)) => self.inner.remove(LinkSelector::Index(inner.index)).await?,
            (None, None) => {}
        }
        let Some((_, net)) = self.namespace.descriptors() else { return Err(absent(host_link)) };
        self.host.make_veth(host_link, inner_link, net).await?;
        self.made.push(format!("link `{host_link}`"));
        let host = self.host.link(host_link).await?.ok_or_else(|| absent(host_link))?;
        let inner = self.inner.link(inner_link).await?.ok_or_else(|| absent(inner_link))?;
        Ok((host, inner))
    }

    /// The bridges, each with the host's address on its net: for the nodes, this namespace is the host.
    pub(super) async fn bridges(&mut self, entry: &Entry) -> Result<(), PreparedError> {
        let addressing = Addressing { ipv6_prefix: entry.ipv6_prefix.clone() };
        for number in 0..BRIDGES {
            let (net, name) = (NetId::new(number), ownership::bridge_name(NetId::new(number)));
            let bridge = match self.inner.link(&name).await? {
                Some(bridge) if bridge.kind == "bridge" => bridge,
                Some(_) => return Err(PreparedError::Obstacles(vec![Obstacle::Link(name)])),
                None => self.bridge(net, &name, entry.mtu).await?,
            };
            in_namespace(self.namespace, || settings::ready_ipv6(&name))??;
            let v4 = Address { ip: addressing.host_ipv4(net).into(), prefix: Addressing::IPV4_LEN };
            let v6 = Address { ip: addressing.host_ipv6(net).into(), prefix: Addressing::IPV6_LEN };
            for address in having_ipv6([v4, v6]) {
                self.inner.add_address(bridge.index, address).await?;
            }
        }
        Ok(())
    }

    async fn bridge(&mut self, net: NetId, name: &str, mtu: u16) -> Result<Link, PreparedError> {
        let address = Addressing::default().host_mac(net).0;
        let bridge = NewBridge { name, group: 0, address, forward_link_local: FORWARD_LLDP };
        self.inner.make_bridge(&bridge).await?;
        let change = LinkChange { alias: Some(PREPARED_MARK), mtu: Some(mtu), up: Some(true), ..LinkChange::default() };
        self.inner.change(LinkSelector::Name(name), &change).await?;
        self.made.push(format!("bridge `{name}`"));
        self.inner.link(name).await?.ok_or_else(|| absent(name))
    }
}

/// Brings an end up, with its addresses.
async fn occupy(netlink: &Netlink, link: u32, ends: Ends) -> Result<(), PreparedError> {
    let change = LinkChange { alias: Some(PREPARED_MARK), up: Some(true), ..LinkChange::default() };
    netlink.change(LinkSelector::Index(link), &change).await?;
    for address in ips(ends) {
        netlink.add_address(link, address).await?;
    }
    Ok(())
}

/// The addresses of an end, each with a full-length prefix. A route leads to the other end.
fn ips(ends: Ends) -> impl Iterator<Item = Address> {
    having_ipv6(ends.each().map(|ip| Address { ip, prefix: if ip.is_ipv4() { 32 } else { 128 } }))
}

/// Those of an IP version that the kernel has.
fn having_ipv6(addresses: [Address; 2]) -> impl Iterator<Item = Address> {
    let ipv6 = settings::has_ipv6();
    addresses.into_iter().filter(move |address| ipv6 || address.ip.is_ipv4())
}

const fn unspecified(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}

fn absent(link: &str) -> PreparedError {
    let source = std::io::ErrorKind::NotFound.into();
    PreparedError::Io { action: format!("find link `{link}`"), source }
}
