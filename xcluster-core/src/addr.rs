//! Computes MAC, IPv4 and IPv6 addresses from the numbers of nets and nodes. No other file does.
//!
//! The values are those of the original xcluster, because scripts and overlays depend on them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error_chain;
use crate::name::{NetId, NodeId};

/// The last byte of the host's addresses, on each net that the host is on.
pub const HOST: u8 = 250;

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
pub struct MacAddr(pub [u8; 6]);

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let bad = || AddrError::Mac(text.to_owned());
        let bytes = text
            .split(':')
            .map(|part| {
                // `from_str_radix` alone accepts a sign.
                let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
                if digits { u8::from_str_radix(part, 16).ok() } else { None }
            })
            .collect::<Option<Vec<u8>>>()
            .ok_or_else(bad)?;
        bytes.try_into().map(Self).map_err(|_| bad())
    }
}

impl TryFrom<String> for MacAddr {
    type Error = AddrError;

    fn try_from(text: String) -> Result<Self, AddrError> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

/// The upper 96 bits of every IPv6 address of a cluster.
///
/// Its text is the part before the IPv4 address, as in the original xcluster: the default `1000::1` gives the address
/// `1000::1:192.168.1.7`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", schemars(with = "String"))]
pub struct Ipv6Prefix {
    text: String,
    /// The prefix with the lower 32 bits zero.
    base: Ipv6Addr,
}

impl Ipv6Prefix {
    /// The prefix as an address whose lower 32 bits are zero.
    pub const fn base(&self) -> Ipv6Addr {
        self.base
    }

    /// The address that has `v4` in its lower 32 bits.
    pub fn embed(&self, v4: Ipv4Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.base.to_bits() | u128::from(v4.to_bits()))
    }
}

impl Default for Ipv6Prefix {
    fn default() -> Self {
        Self { text: "1000::1".to_owned(), base: Ipv6Addr::new(0x1000, 0, 0, 0, 0, 1, 0, 0) }
    }
}

impl fmt::Display for Ipv6Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Ipv6Prefix {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let bad = || AddrError::Prefix(text.to_owned());
        let base: Ipv6Addr = format!("{text}:0.0.0.0").parse().map_err(|_| bad())?;
        // The unspecified address and link-local, multicast and IPv4-mapped addresses cannot be those of a net.
        let usable =
            base.to_bits() != 0 && !base.is_multicast() && !base.is_unicast_link_local() && base.to_ipv4().is_none();
        if usable { Ok(Self { text: text.to_owned(), base }) } else { Err(bad()) }
    }
}

impl TryFrom<String> for Ipv6Prefix {
    type Error = AddrError;

    fn try_from(text: String) -> Result<Self, AddrError> {
        text.parse()
    }
}

impl From<Ipv6Prefix> for String {
    fn from(prefix: Ipv6Prefix) -> Self {
        prefix.text
    }
}

/// Why a text is not an address or a prefix.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddrError {
    /// The text is not six bytes in hexadecimal.
    #[error("`{0}` is not a MAC address: write it as `00:00:00:01:00:07`")]
    Mac(String),
    /// The text followed by `:192.168.0.1` is not a usable address.
    #[error(
        "`{0}` is not an IPv6 prefix: `PREFIX:192.168.0.1` must be a unicast address, as with `1000::1` or `fd00:`"
    )]
    Prefix(String),
}

error_chain::readable_debug!(AddrError);

/// The addresses of one cluster: those of each node and of the host on each net.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Addressing {
    /// The upper 96 bits of IPv6 addresses.
    pub ipv6_prefix: Ipv6Prefix,
}

impl Addressing {
    /// The length of a net's IPv4 prefix, in bits.
    pub const IPV4_LEN: u8 = 24;
    /// The length of a net's IPv6 prefix, in bits. The last 8 bits are the node, as in IPv4.
    pub const IPV6_LEN: u8 = 120;

    /// The MAC address of a node's NIC on a net, `00:00:00:01:<net>:<node>`.
    pub fn mac(&self, net: NetId, node: NodeId) -> MacAddr {
        MacAddr([0, 0, 0, 1, net.number(), last_byte(node)])
    }

    /// The MAC address of the host on a net, `00:00:00:01:<net>:fa`.
    pub fn host_mac(&self, net: NetId) -> MacAddr {
        MacAddr([0, 0, 0, 1, net.number(), HOST])
    }

    /// The IPv4 address of a node on a net, `192.168.<net>.<node>`.
    pub fn ipv4(&self, net: NetId, node: NodeId) -> Ipv4Addr {
        member(net, last_byte(node))
    }

    /// The IPv6 address of a node on a net.
    pub fn ipv6(&self, net: NetId, node: NodeId) -> Ipv6Addr {
        self.ipv6_prefix.embed(self.ipv4(net, node))
    }

    /// The host's IPv4 address on a net, `192.168.<net>.250`.
    pub fn host_ipv4(&self, net: NetId) -> Ipv4Addr {
        member(net, HOST)
    }

    /// The host's IPv6 address on a net.
    pub fn host_ipv6(&self, net: NetId) -> Ipv6Addr {
        self.ipv6_prefix.embed(self.host_ipv4(net))
    }

    /// The network address of a net in IPv4; its prefix length is [`Self::IPV4_LEN`].
    pub fn ipv4_net(&self, net: NetId) -> Ipv4Addr {
        member(net, 0)
    }

    /// The network address of a net in IPv6; its prefix length is [`Self::IPV6_LEN`].
    pub fn ipv6_net(&self, net: NetId) -> Ipv6Addr {
        self.ipv6_prefix.embed(self.ipv4_net(net))
    }
}

/// The last byte of a node's addresses: its number.
fn last_byte(node: NodeId) -> u8 {
    u8::try_from(node.number()).expect("the number of a node is at most 240")
}

/// The serde form of an address with the prefix length of its net: `192.168.0.1/24`.
pub(crate) mod with_prefix_len {
    use super::{Addressing, IpAddr, fmt};
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(address: &(impl Into<IpAddr> + Copy), to: S) -> Result<S::Ok, S::Error> {
        let address: IpAddr = (*address).into();
        let length = if address.is_ipv4() { Addressing::IPV4_LEN } else { Addressing::IPV6_LEN };
        to.collect_str(&format_args!("{address}/{length}"))
    }

    pub(crate) fn deserialize<'de, D, A>(from: D) -> Result<A, D::Error>
    where
        D: Deserializer<'de>,
        A: std::str::FromStr<Err: fmt::Display>,
    {
        let text = String::deserialize(from)?;
        let address = text.split_once('/').map_or(text.as_str(), |(address, _)| address);
        address.parse().map_err(de::Error::custom)
    }
}

fn member(net: NetId, last: u8) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, net.number(), last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_original_xcluster() {
        let addressing = Addressing::default();
        let (net, node) = (NetId::new(10), NodeId::new(201).unwrap());
        assert_eq!(addressing.mac(net, node).to_string(), "00:00:00:01:0a:c9");
        assert_eq!(addressing.ipv4(net, node).to_string(), "192.168.10.201");
        assert_eq!(addressing.ipv6(net, node), "1000::1:192.168.10.201".parse::<Ipv6Addr>().unwrap());
        assert_eq!(addressing.host_ipv6(net), "1000::1:192.168.10.250".parse::<Ipv6Addr>().unwrap());
    }

    #[test]
    fn a_prefix_is_the_text_before_the_ipv4_address() {
        let prefix: Ipv6Prefix = "fd00:".parse().unwrap();
        assert_eq!(prefix.embed(Ipv4Addr::new(192, 168, 0, 1)), "fd00::192.168.0.1".parse::<Ipv6Addr>().unwrap());
        assert_eq!("1000::1".parse::<Ipv6Prefix>().unwrap(), Ipv6Prefix::default());
        for text in ["", ":", "::", "ff02::1", "fe80:", "1000", "1000::1/64", "x::1", "::ffff"] {
            assert!(text.parse::<Ipv6Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_mac_is_six_bytes() {
        assert_eq!("00:00:00:01:0a:C9".parse::<MacAddr>().unwrap().0, [0, 0, 0, 1, 10, 201]);
        for text in
            ["", "00:00:00:01:0a", "00:00:00:01:0a:c9:1", "0:0:0:1:a:9", "00-00-00-01-0a-c9", "00:00:00:01:0a:+9"]
        {
            assert!(text.parse::<MacAddr>().is_err(), "{text}");
        }
    }
}
