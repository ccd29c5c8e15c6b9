//! Addresses on links. Which ones belong there is not known here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::errno::Errno;
use rtnetlink::AddressMessageBuilder;
use rtnetlink::packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};

use super::{Netlink, NetlinkError};

/// An address with the length of its net's prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The length of the prefix in bits.
    pub prefix: u8,
}

impl Netlink {
    /// The addresses of a link.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
    pub async fn addresses(&self, link: u32) -> Result<Vec<Address>, NetlinkError> {
        let message = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let found = self.list(message, || "list the addresses".to_owned()).await?;
        let address = |message| match message {
            // The kernel says those of all links.
            RouteNetlinkMessage::NewAddress(message) if message.header.index == link => read(&message),
            _ => None,
        };
        Ok(found.into_iter().filter_map(address).collect())
    }

    /// Gives a link an address. It may be used at once: nobody is asked whether they have it. Returns whether the link did
    /// not have it before.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
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

    /// Takes an address from a link. One that is not there counts as taken.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
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
