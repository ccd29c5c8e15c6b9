//! The taps of a cluster: which links of their names may be removed, and what the kernel's errors mean.
//! `xcluster_core::netlink` makes the taps.

use xcluster_core::host::Namespace;
use xcluster_core::net::NetError;
use xcluster_core::netlink::link::Link;
use xcluster_core::netlink::tap::{self, TapError};
use xcluster_core::netlink::{Netlink, NetlinkError};

use crate::error;
use crate::link_owner::LinkOwner;

pub(crate) use xcluster_core::netlink::tap::{NewTap, Queues};

/// Makes a tap and joins it to its bridge. After an error nothing is left.
pub(crate) async fn make(namespace: &Namespace, netlink: &Netlink, tap: &NewTap<'_>) -> Result<Queues, NetError> {
    let netns = namespace.netns();
    tap::make(namespace, netlink, tap, is_ours).await.map_err(|error| match error {
        TapError::Refused { name, source } => error::no_tap(source, &name, netns),
        TapError::Link(failure) => error::refused(failure, netns),
        other => other.into(),
    })
}

/// Removes what is left of a tap. A foreign link of its name is left alone.
pub(crate) async fn remove(netlink: &Netlink, name: &str) -> Result<(), NetlinkError> {
    tap::remove(netlink, name, is_ours).await
}

fn is_ours(link: &Link) -> bool {
    LinkOwner::of(link) == LinkOwner::Cluster
}
