//! The backend: which of its parts serves which call. It has no state; that of a cluster is in the cluster's store.

use std::sync::Arc;

use async_trait::async_trait;
use nix::unistd::getuid;
use xcluster_core::net::{
    BackendContext, Capabilities, HostAccess, Net, NetBackend, NetError, Port, PortConfig, Settings, VmToVm, configure,
};
use xcluster_core::netlink::link::{LinkChange, LinkSelector};
use xcluster_core::netlink::{Netlink, ownership};
use xcluster_core::topology::{NetKind, Problems};

use crate::config::{self, BridgeConfig};
use crate::state::BridgeState;
use crate::tap::{self, NewTap};
use crate::{bridge, error, probe, qemu_args, vhost};

/// The index of `lo`, the first link of every network namespace.
const LOOPBACK: u32 = 1;

/// Linux bridges with a tap for each NIC, in the cluster's network namespace. Needs no root. In a private namespace, nothing
/// outlives the owner.
#[derive(Debug, Clone, Default)]
pub struct BridgeBackend {
    config: BridgeConfig,
}

impl BridgeBackend {
    /// The name that topologies and `--net` choose it by.
    pub const NAME: &str = config::NAME;
    /// The largest MTU in bytes: that of a tap.
    pub const MTU_MAX: u16 = config::MTU_MAX;

    /// The backend with this configuration.
    pub const fn new(config: BridgeConfig) -> Self {
        Self { config }
    }

    async fn set_up(
        &self,
        context: &BackendContext<'_>,
        port: &Port,
        state: &BridgeState,
    ) -> Result<PortConfig, NetError> {
        let bridge = state.bridge(port.net.id).ok_or_else(|| error::too_early("setup"))?;
        let vhosts = vhost::open(self.config.vhost, self.config.queues.into())?;
        let tap = NewTap {
            name: &ownership::tap_name(port.net.id, port.node),
            mark: &ownership::tap_mark(port.net.id, port.node, context.cluster, getuid().as_raw()),
            group: ownership::group(port.net.id),
            mtu: port.net.mtu,
            controller: Some(bridge.index),
            queues: self.config.queues,
            offloads: true,
            own_address: false,
        };
        let queues = tap::make(context.needed_namespace()?, &state.netlink, &tap).await?;
        Ok(PortConfig::new(qemu_args::tap(port, &queues, &vhosts), HostAccess::Inside(port.ipv4().into())))
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

    /// Not durable: bridges end with their namespace. In a named namespace they may outlive a killed owner. Then the next
    /// cluster there recognizes them by their mark and their free host lock, and makes them again.
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

    /// Locks the nets in the namespace, so that only one cluster uses the bridge of a net.
    async fn preflight(&self, context: &BackendContext<'_>, nets: &[Net], ports: &[Port]) -> Result<(), NetError> {
        if let Some(refusal) = error::refusal(&self.config, nets) {
            return Err(refusal);
        }
        let namespace = context.needed_namespace()?;
        vhost::open(self.config.vhost, 1)?;
        let state = match BridgeState::of(context) {
            Some(state) => state,
            None => BridgeState::begin(context, Netlink::connect(namespace)?),
        };
        // An empty change needs the same privilege as any other.
        let permitted = state.netlink.change(LinkSelector::Index(LOOPBACK), &LinkChange::default()).await;
        permitted.map_err(|failure| error::refused(failure, namespace.netns()))?;
        let new = ports.iter().filter(|port| state.ports.config(port).is_none()).count();
        namespace.expect_tuns(1 + new * usize::from(self.config.queues));
        namespace.tun()?;
        let names = nets.iter().map(|net| ownership::lock_name(net.id));
        context.host_locks.take_all_in(namespace, names).map_err(error::not_locked)
    }

    async fn create_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        let state = locked(context, net).ok_or_else(|| error::too_early("create_net"))?;
        if state.bridge(net.id).is_some() {
            return Ok(());
        }
        let (netlink, netns) = (&state.netlink, context.needed_namespace()?.netns());
        let bridge = bridge::find_or_make(netlink, netns, net).await?;
        state.begin_bridge(net.id, bridge.clone());
        bridge::finish(netlink, netns, context.cluster, net, &bridge).await?;
        state.finish_bridge(net.id);
        Ok(())
    }

    async fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        let state = locked(context, &port.net).ok_or_else(|| error::too_early("setup"))?;
        if let Some(port_config) = state.ports.config(port) {
            return Ok(port_config);
        }
        state.ports.wait_removed(port).await?;
        let port_config = self.set_up(context, port, &state).await?;
        state.ports.keep(port, port_config.clone());
        Ok(port_config)
    }

    /// Starts the removal of the tap, which takes the kernel about 20 ms; many run at the same time.
    /// [`delete_net`](NetBackend::delete_net) waits for them.
    async fn teardown(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        let Some(state) = locked(context, &port.net) else { return Ok(()) };
        if let Some(port_config) = state.ports.forget(port) {
            let name = ownership::tap_name(port.net.id, port.node);
            state.ports.remove_async(port, remove_tap(Arc::clone(&state), name, port_config));
        }
        Ok(())
    }

    async fn delete_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        let Some(state) = locked(context, net) else { return Ok(()) };
        let bridge = state.forget_bridge(net.id);
        bridge::remove(&state.netlink, net, bridge.as_ref()).await?;
        state.ports.wait_net_removed(net.id).await?;
        context.host_locks.release([ownership::lock_name(net.id)]);
        Ok(())
    }
}

/// A tap ends with its last descriptor. If it does not, another process holds it; then it is removed by name.
async fn remove_tap(state: Arc<BridgeState>, tap: String, port_config: PortConfig) -> Result<(), NetError> {
    // Closing waits for the kernel.
    let _ = tokio::task::spawn_blocking(move || drop(port_config)).await;
    Ok(tap::remove(&state.netlink, &tap).await?)
}

/// The state of a cluster that holds the lock of this net.
fn locked(context: &BackendContext<'_>, net: &Net) -> Option<Arc<BridgeState>> {
    BridgeState::of(context).filter(|_| context.host_locks.holds(&ownership::lock_name(net.id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_make_no_sense_are_reported_by_their_place() {
        let queues = |count: u8| Settings::from_iter([("queues".to_owned(), count.into())]);
        let told =
            |settings: &Settings| BridgeBackend::default().configured(settings).map(drop).map_err(|p| p.to_string());
        assert_eq!(told(&queues(16)), Ok(()));
        assert_eq!(told(&queues(17)), Err("queues: a NIC has 1 to 16 pairs of queues, not 17".to_owned()));
    }
}
