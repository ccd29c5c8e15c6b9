//! Addresses of links.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;
use rtnetlink::AddressMessageBuilder;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use super::{Netlink, NetlinkError};

/// An address with its prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The prefix length in bits.
    pub prefix: u8,
}

impl Netlink {
    /// The addresses of a link.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
    pub async fn addresses(&self, link: u32) -> Result<Vec<Address>, NetlinkError> {
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let found = self.list(message, || "list the addresses".to_owned()).await?;
        let address = |message| match message {
            // The kernel lists those of all links.
            RouteNetlinkMessage::NewAddress(message) if message.header.index == link => read(&message),
            _ => None,
        };
        Ok(found.into_iter().filter_map(address).collect())
    }

    /// Adds an address to a link, without duplicate address detection, so that it can be used at once. Returns whether it is
    /// new.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
    pub async fn add_address(&self, link: u32, address: Address) -> Result<bool, NetlinkError> {
        let mut message = address.message(link);
        if address.ip.is_ipv6() {
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
        let action = || format!("add address {}/{}", address.ip, address.prefix);
        match self.act(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL, action).await {
            Ok(()) => Ok(true),
            Err(failure) if failure.is(Errno::EEXIST) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Removes an address from a link. An absent one is no error.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
    pub async fn remove_address(&self, link: u32, address: Address) -> Result<(), NetlinkError> {
        let action = || format!("remove address {}/{}", address.ip, address.prefix);
        match self.act(RouteNetlinkMessage::DelAddress(address.message(link)), 0, action).await {
            Err(failure) if matches!(failure.errno(), Some(Errno::EADDRNOTAVAIL | Errno::ENODEV)) => Ok(()),
            outcome => outcome,
        }
    }
}

impl Address {
    fn message(&self, link: u32) -> AddressMessage {
        match self.ip {
            IpAddr::V4(ip) => AddressMessageBuilder::<Ipv4Addr>::new().index(link).address(ip, self.prefix).build(),
            IpAddr::V6(ip) => AddressMessageBuilder::<Ipv6Addr>::new().index(link).address(ip, self.prefix).build(),
        }
    }
}

fn read(message: &AddressMessage) -> Option<Address> {
    let ip = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(ip) => Some(*ip),
        _ => None,
    })?;
    Some(Address { ip, prefix: message.header.prefix_len })
}
