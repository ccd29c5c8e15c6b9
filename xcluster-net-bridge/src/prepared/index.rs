//! The number of a prepared namespace, and the names and addresses that follow from it. The values are those of the original
//! xcluster.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The addresses of all links between prepared namespaces and the host: `172.30.0.0/24`.
const BASE: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 0);
/// The same for IPv6; the IPv4 address is its lower 32 bits.
const BASE_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x1723, 0, 0, 0, 0, 0, 0);

/// The number of a prepared namespace: 0 to 127, since each takes two of 256 addresses. A number is unique on a host, among
/// all users.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Index(u8);

/// Not the number of a prepared namespace.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the number of a network namespace: there are 0 to {max}", max = Index::MAX)]
pub struct IndexError(String);

xcluster_core::error_chain::readable_debug!(IndexError);

impl Index {
    /// The highest number.
    pub const MAX: u8 = 127;

    /// The namespace of this number.
    ///
    /// # Errors
    /// It is greater than [`Index::MAX`].
    pub fn new(number: u8) -> Result<Self, IndexError> {
        if number <= Self::MAX { Ok(Self(number)) } else { Err(IndexError(number.to_string())) }
    }

    /// All numbers, in the order in which to try them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (1..=Self::MAX).chain([0]).map(Self)
    }

    /// The number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The link to the namespace, in the host's namespace: `xcluster1`. The firewall's rules contain this name.
    pub fn host_link(self) -> String {
        format!("xcluster{self}")
    }

    /// The link to the host, in the prepared namespace: `host1`.
    pub fn inner_link(self) -> String {
        format!("host{self}")
    }

    /// The namespace's addresses on the link between it and the host.
    pub fn inner(self) -> Ends {
        Ends::of(2 * self.0)
    }

    /// The host's addresses on that link.
    pub fn host(self) -> Ends {
        Ends::of(2 * self.0 + 1)
    }
}

/// The addresses of one end of that link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// `172.30.0.N`.
    pub ipv4: Ipv4Addr,
    /// `fd00:1723::172.30.0.N`.
    pub ipv6: Ipv6Addr,
}

impl Ends {
    fn of(last: u8) -> Self {
        let ipv4 = Ipv4Addr::from_bits(BASE.to_bits() | u32::from(last));
        Self { ipv4, ipv6: Ipv6Addr::from_bits(BASE_IPV6.to_bits() | u128::from(ipv4.to_bits())) }
    }

    /// Both addresses.
    pub(super) const fn each(self) -> [IpAddr; 2] {
        [IpAddr::V4(self.ipv4), IpAddr::V6(self.ipv6)]
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Index {
    type Err = IndexError;

    fn from_str(text: &str) -> Result<Self, IndexError> {
        let bad = || IndexError(text.to_owned());
        Self::new(text.parse().map_err(|_| bad())?).map_err(|_| bad())
    }
}

impl TryFrom<u8> for Index {
    type Error = IndexError;

    fn try_from(number: u8) -> Result<Self, IndexError> {
        Self::new(number)
    }
}

impl From<Index> for u8 {
    fn from(index: Index) -> Self {
        index.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_original_xcluster() {
        let index: Index = "1".parse().unwrap();
        assert_eq!((index.host_link().as_str(), index.inner_link().as_str()), ("xcluster1", "host1"));
        assert_eq!(
            index.inner().each(),
            ["172.30.0.2".parse::<IpAddr>().unwrap(), "fd00:1723::172.30.0.2".parse().unwrap()]
        );
        assert_eq!(
            index.host().each(),
            ["172.30.0.3".parse::<IpAddr>().unwrap(), "fd00:1723::172.30.0.3".parse().unwrap()]
        );
        assert_eq!(Index::new(127).unwrap().host().ipv4, Ipv4Addr::new(172, 30, 0, 255));
    }

    #[test]
    fn a_number_without_two_addresses_is_none() {
        for bad in ["128", "256", "-1", "", "one", "1 "] {
            assert!(bad.parse::<Index>().is_err(), "{bad}");
        }
        assert_eq!(Index::all().count(), 128);
    }
}
