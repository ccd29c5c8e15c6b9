//! Checks whether this host can have bridges and taps, by making some in a temporary namespace.

use std::io;

use xcluster_core::host::{Namespace, Netns};
use xcluster_core::name::NetId;
use xcluster_core::net::NetError;
use xcluster_core::netlink::link::NewBridge;
use xcluster_core::netlink::{Netlink, ownership};

use crate::error;
use crate::tap::{self, NewTap};

const BRIDGE: &str = "xcbr0";
const TAP: &str = "xcbr0_t1";

/// Makes a bridge with a tap in a private namespace, which is removed with them.
pub(crate) fn probe() -> Result<(), NetError> {
    let namespace = Namespace::private()?;
    // A thread with its own runtime: the caller may be in a runtime, which must not block on itself.
    let probed = std::thread::scope(|scope| scope.spawn(|| in_runtime(&namespace)).join());
    probed.unwrap_or_else(|_| Err(NetError::Other { message: "the probe panicked".to_owned(), source: None }))
}

fn in_runtime(namespace: &Namespace) -> Result<(), NetError> {
    let no_runtime = |error: io::Error| NetError::io("make a runtime", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(no_runtime)?;
    runtime.block_on(make_both(namespace))
}

async fn make_both(namespace: &Namespace) -> Result<(), NetError> {
    let netlink = Netlink::connect(namespace)?;
    let bridge = NewBridge {
        name: BRIDGE,
        group: ownership::group(NetId::INTERNAL),
        address: [0, 0, 0, 1, 0, 250],
        forward_link_local: 0,
    };
    netlink.make_bridge(&bridge).await.map_err(|failure| error::no_bridge(failure, BRIDGE, &Netns::Private))?;
    let link = netlink.link(BRIDGE).await?.ok_or(NetError::Conflict { object: BRIDGE.to_owned() })?;
    let tap = NewTap {
        name: TAP,
        mark: "xcluster: probe",
        group: bridge.group,
        mtu: 1500,
        controller: Some(link.index),
        queues: 1,
        offloads: true,
        own_address: false,
    };
    tap::make(namespace, &netlink, &tap).await?;
    Ok(netlink.remove_group(bridge.group).await?)
}
