//! Veth pairs, which connect two network namespaces.

use std::os::fd::{AsRawFd, BorrowedFd};

use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::{Netlink, NetlinkError};

impl Netlink {
    /// Makes a pair: `name` here and `peer` in the other network namespace, both down. If one of the names exists (`EEXIST`),
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
