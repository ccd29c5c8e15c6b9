//! The backend itself: which of its parts serves which call. No state of its own; what a cluster has is in its store.

use std::sync::Arc;

use async_trait::async_trait;
use nix::unistd::getuid;
use xcluster_core::net::{
    Capabilities, HostAccess, Net, NetBackend, NetError, Port, Settings, Site, VmToVm, Wired, configure,
};
use xcluster_core::topology::{NetKind, Problems};

use crate::config::BridgeConfig;
use crate::tap::{self, NewTap};
use crate::wiring::Wiring;
use crate::{bridge, error, names, probe, vhost, words};
use xcluster_core::host::netlink::Netlink;
use xcluster_core::host::netlink::link::{LinkChange, LinkSelector};

/// The index of `lo`, the first link of every network namespace.
const LOOPBACK: u32 = 1;

/// Linux bridges with a tap for each NIC, in the cluster's network namespace. No root, and nothing that outlives the owner
/// where that namespace is private.
#[derive(Debug, Clone, Default)]
pub struct BridgeBackend {
    config: BridgeConfig,
}

impl BridgeBackend {
    /// The name that it is chosen by.
    pub const NAME: &str = "bridge";
    /// The largest MTU. A tap takes frames of 65535 bytes (`MAX_MTU` of drivers/net/tun.c), of which 14 are the Ethernet
    /// header; a bridge would take more.
    pub const MTU_MAX: u16 = 65535 - 14;

    /// The backend with this configuration.
    pub const fn new(config: BridgeConfig) -> Self {
        Self { config }
    }

    async fn wire(&self, site: &Site<'_>, port: &Port, wiring: &Wiring) -> Result<Wired, NetError> {
        let bridge = wiring.bridge(port.net.id).ok_or_else(|| error::too_early("setup"))?;
        let vhosts = vhost::open(self.config.vhost, self.config.queues.into())?;
        let tap = NewTap {
            name: &names::tap(port.net.id, port.node),
            mark: &names::tap_mark(port.net.id, port.node, site.cluster, getuid().as_raw()),
            group: names::group(port.net.id),
            mtu: port.net.mtu,
            controller: Some(bridge.index),
            queues: self.config.queues,
            offloads: true,
            own_address: false,
        };
        let queues = tap::make(site.needed_namespace()?, &wiring.netlink, &tap).await?;
        Ok(Wired { kvm: words::tap(port, &queues, &vhosts), access: HostAccess::Inside(port.ipv4().into()) })
    }
}

#[async_trait]
impl NetBackend for BridgeBackend {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn configured(&self, settings: &Settings) -> Result<Arc<dyn NetBackend>, Problems> {
        let config: BridgeConfig = configure(&self.config, settings)?;
        config.check().map(|()| Arc::new(Self::new(config)) as Arc<dyn NetBackend>)
    }

    /// Not durable: bridges go with their namespace. In one that has a name they may outlive an owner who is killed; then
    /// the next cluster there knows them by their mark, and that nobody has claimed them, and makes them anew.
    fn capabilities(&self, _: NetKind) -> Capabilities {
        let mut capabilities = Capabilities::joining(VmToVm::Switch, Self::MTU_MAX);
        capabilities.host_access = true;
        capabilities.offloads = true;
        capabilities.hotplug = true;
        capabilities.needs_namespace = true;
        capabilities
    }

    fn usable(&self) -> Result<(), NetError> {
        probe::probe()
    }

    /// Claims the nets in the namespace: whoever has a net's bridge has it alone.
    async fn preflight(&self, site: &Site<'_>, nets: &[Net], ports: &[Port]) -> Result<(), NetError> {
        if let Some(refusal) = error::refusal(&self.config, nets) {
            return Err(refusal);
        }
        let namespace = site.needed_namespace()?;
        vhost::open(self.config.vhost, 1)?;
        let wiring = match Wiring::of(site) {
            Some(wiring) => wiring,
            None => Wiring::begin(site, Netlink::connect(namespace)?),
        };
        // A change of nothing is refused as any would be.
        let permitted = wiring.netlink.change(LinkSelector::Index(LOOPBACK), &LinkChange::default()).await;
        permitted.map_err(|failure| error::refused(failure, namespace.netns()))?;
        let new = ports.iter().filter(|port| wiring.wired(port).is_none()).count();
        namespace.expect_tuns(1 + new * usize::from(self.config.queues));
        namespace.tun()?;
        let names = nets.iter().map(|net| names::lock_name(net.id));
        site.host_locks.take_all_in(namespace, names).map_err(error::not_locked)
    }

    async fn create_net(&self, site: &Site<'_>, net: &Net) -> Result<(), NetError> {
        let wiring = claimed(site, net).ok_or_else(|| error::too_early("create_net"))?;
        if wiring.bridge(net.id).is_some() {
            return Ok(());
        }
        let (netlink, netns) = (&wiring.netlink, site.needed_namespace()?.netns());
        let bridge = bridge::find_or_make(netlink, netns, net).await?;
        wiring.begin_bridge(net.id, bridge.clone());
        bridge::finish(netlink, netns, site.cluster, net, &bridge).await?;
        wiring.finish_bridge(net.id);
        Ok(())
    }

    async fn setup(&self, site: &Site<'_>, port: &Port) -> Result<Wired, NetError> {
        let wiring = claimed(site, &port.net).ok_or_else(|| error::too_early("setup"))?;
        if let Some(wired) = wiring.wired(port) {
            return Ok(wired);
        }
        wiring.gone(port).await?;
        let wired = self.wire(site, port, &wiring).await?;
        wiring.keep(port, wired.clone());
        Ok(wired)
    }

    /// The tap is on its way out then: the kernel takes some 20 ms for each, and many go at the same time.
    /// [`delete_net`](NetBackend::delete_net) waits for them.
    async fn teardown(&self, site: &Site<'_>, port: &Port) -> Result<(), NetError> {
        let Some(wiring) = claimed(site, &port.net) else { return Ok(()) };
        if let Some(wired) = wiring.forget(port) {
            wiring.let_go(port, tokio::spawn(let_go(Arc::clone(&wiring), names::tap(port.net.id, port.node), wired)));
        }
        Ok(())
    }

    async fn delete_net(&self, site: &Site<'_>, net: &Net) -> Result<(), NetError> {
        let Some(wiring) = claimed(site, net) else { return Ok(()) };
        let bridge = wiring.forget_bridge(net.id);
        bridge::remove(&wiring.netlink, net, bridge.as_ref()).await?;
        wiring.net_gone(net.id).await?;
        site.host_locks.release([names::lock_name(net.id)]);
        Ok(())
    }
}

/// With its last descriptor a tap goes; what is left of it is held by somebody who should not.
async fn let_go(wiring: Arc<Wiring>, tap: String, wired: Wired) -> Result<(), NetError> {
    // Closing waits for the kernel.
    let _ = tokio::task::spawn_blocking(move || drop(wired)).await;
    Ok(tap::remove(&wiring.netlink, &tap).await?)
}

/// What is remembered of a cluster whose net this is.
fn claimed(site: &Site<'_>, net: &Net) -> Option<Arc<Wiring>> {
    Wiring::of(site).filter(|_| site.host_locks.holds(&names::lock_name(net.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_told_by_their_place() {
        let queues = |count: u8| Settings::from_iter([("queues".to_owned(), count.into())]);
        let told =
            |settings: &Settings| BridgeBackend::default().configured(settings).map(drop).map_err(|p| p.to_string());
        assert_eq!(told(&queues(16)), Ok(()));
        assert_eq!(told(&queues(17)), Err("queues: a NIC has 1 to 16 pairs of queues, not 17".to_owned()));
    }
}
