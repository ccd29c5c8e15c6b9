//! Veth pairs: a wire from this namespace to another one. What they are for is not known here.

use std::os::fd::{AsRawFd, BorrowedFd};

use rtnetlink::packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::{Netlink, NetlinkError};

impl Netlink {
    /// Makes a pair: `name` here, and `peer` in the other network namespace. Both are down. Neither is made if something has
    /// one of the names (`EEXIST`).
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
    pub async fn make_veth(&self, name: &str, peer: &str, there: BorrowedFd<'_>) -> Result<(), NetlinkError> {
        let peer = LinkUnspec::new_with_name(peer).setns_by_fd(there.as_raw_fd()).build();
        let message =
            LinkMessageBuilder::<LinkVeth>::new(name, "").set_info_data(InfoData::Veth(InfoVeth::Peer(peer))).build();
        self.make_link(message, || format!("make link `{name}`")).await
    }
}
