//! The backend: which of its parts serves which call. It has no state; a cluster's numbers are in its store.

use std::sync::Arc;

use async_trait::async_trait;
use xcluster_core::net::{
    BackendContext, Capabilities, Forward, HostAccess, Net, NetBackend, NetError, Port, PortConfig, Settings, VmToVm,
    configure,
};
use xcluster_core::topology::{NetKind, Problems};

use crate::allocation::Allocation;
use crate::config::UserConfig;
use crate::error::{Target, refuse};
use crate::qemu_args;
use crate::requested_ports::{self, is_internal};

/// QEMU's user-space networking: no root, no preparation, and no objects on the host except QEMU's sockets.
#[derive(Debug, Clone, Default)]
pub struct UserBackend {
    config: UserConfig,
}

impl UserBackend {
    /// The name that topologies and `--net` choose it by.
    pub const NAME: &str = "user";
    /// The MTU of the internal net: that of QEMU's own TCP/IP.
    pub const INTERNAL_MTU: u16 = 1500;
    /// The largest MTU of the other nets. A frame travels as one UDP datagram, which carries 65507 bytes; 14 are the
    /// Ethernet header and 4 a VLAN tag.
    pub const MCAST_MTU: u16 = 65507 - 14 - 4;

    /// The backend with this configuration.
    pub const fn new(config: UserConfig) -> Self {
        Self { config }
    }

    fn internal(port: &Port, allocation: &Allocation) -> Result<PortConfig, NetError> {
        let forward = |target: Target| Some(Forward { port: target.port, host: allocation.forward(&target)? });
        let forwards =
            requested_ports::targets(port).map(forward).collect::<Option<Vec<_>>>().ok_or_else(|| unseen(port))?;
        Ok(PortConfig::new(qemu_args::user(port, &forwards), HostAccess::Forwarded(forwards)))
    }

    fn joined(port: &Port, allocation: &Allocation) -> Result<PortConfig, NetError> {
        let group = allocation.group(port.net.id).ok_or_else(|| unseen(port))?;
        Ok(PortConfig::new(qemu_args::mcast(port, group), HostAccess::None))
    }
}

#[async_trait]
impl NetBackend for UserBackend {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn configured(&self, settings: &Settings) -> Result<Arc<dyn NetBackend>, Problems> {
        Ok(Arc::new(Self::new(configure(&self.config, settings)?)))
    }

    fn capabilities(&self, kind: NetKind) -> Capabilities {
        let mut capabilities = match kind {
            NetKind::Internal => Capabilities::joining(VmToVm::None, Self::INTERNAL_MTU),
            _ => Capabilities::joining(VmToVm::Hub, Self::MCAST_MTU),
        };
        capabilities.host_access = kind == NetKind::Internal;
        // The kernel drops datagrams of a multicast group when a QEMU is slow to read them.
        capabilities.lossy = kind != NetKind::Internal;
        capabilities.hotplug = true;
        capabilities
    }

    /// Chooses the numbers. Earlier choices for this cluster stay, so that nodes can be added.
    async fn preflight(&self, context: &BackendContext<'_>, nets: &[Net], ports: &[Port]) -> Result<(), NetError> {
        let (ranges, groups) =
            match (requested_ports::forwards(&self.config, ports), requested_ports::groups(&self.config, nets)) {
                (Ok(ranges), Ok(groups)) => (ranges, groups),
                (ranges, groups) => {
                    let problems = ranges.err().into_iter().chain(groups.err()).flatten();
                    return Err(refuse(problems));
                }
            };
        let allocation = allocation(context).extended(context.host_locks, ranges, &groups)?;
        context.store.put(Self::NAME, allocation);
        Ok(())
    }

    async fn create_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        Ok(())
    }

    async fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        let allocation = allocation(context);
        if is_internal(&port.net) { Self::internal(port, &allocation) } else { Self::joined(port, &allocation) }
    }

    async fn teardown(&self, _: &BackendContext<'_>, _: &Port) -> Result<(), NetError> {
        Ok(())
    }

    async fn delete_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        Ok(())
    }
}

fn allocation(context: &BackendContext<'_>) -> Arc<Allocation> {
    context.store.find(UserBackend::NAME).unwrap_or_default()
}

fn unseen(port: &Port) -> NetError {
    let message = format!("no numbers were chosen for {} on net {}: preflight did not name it", port.node, port.net.id);
    NetError::Other { message, source: None }
}
