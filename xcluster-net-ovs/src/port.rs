//! The port of a node: making its tap, adding it to the bridge, and removing both.

use std::sync::Arc;

use xcluster_core::net::{HostAccess, NetError, Port, PortConfig};
use xcluster_core::netlink::tap::{self, NewTap};

use crate::config::{Instance, OvsConfig};
use crate::net::NetContext;
use crate::state::OvsState;
use crate::switch::{Datapath, Switch};
use crate::{error, qemu_args, row_owner, vsctl_commands};

/// Makes the tap of a node, and adds it to the bridge of its net.
pub(crate) async fn set_up(context: NetContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
    let NetContext { config, names, namespace, netlink, switch } = context;
    let name = names.tap(port.net.id, port.node);
    if config.instance == Instance::System
        && row_owner::row_owner(switch, "Port", &name, names).await? == row_owner::RowOwner::Foreign
    {
        return Err(NetError::Conflict { object: name });
    }
    let tap = NewTap {
        name: &name,
        mark: &names.tap_mark(port.net.id, port.node),
        group: names.group(port.net.id),
        mtu: port.net.mtu,
        controller: None,
        queues: 1,
        // The datapath in user space reads frames from packet sockets, and does not complete checksums.
        offloads: switch.datapath == Datapath::System,
        own_address: false,
    };
    let queues = tap::make(namespace, netlink, &tap, |link| names.owns(link)).await?;
    let queue = queues.first().ok_or_else(|| error::too_early("setup"))?;
    switch.transact(vsctl_commands::port(names, port, &config.net(port.net.id))).await?;
    Ok(PortConfig::new(qemu_args::tap(port, queue), access(config, port)))
}

fn access(config: &OvsConfig, port: &Port) -> HostAccess {
    let hears = vsctl_commands::hears_host(&config.net(port.net.id), port.node);
    match (config.has_host(port.net.id) && hears, config.instance) {
        (false, _) => HostAccess::None,
        (true, Instance::Private) => HostAccess::Inside(port.ipv4().into()),
        (true, Instance::System) => HostAccess::Direct(port.ipv4().into()),
    }
}

/// First the port, then the tap: the switch logs an error when it finds that a tap is gone.
pub(crate) async fn remove_tap(
    state: Arc<OvsState>,
    switch: Option<Arc<Switch>>,
    port: Port,
    port_config: Option<PortConfig>,
) -> Result<(), NetError> {
    let told = match switch {
        Some(switch) => switch.transact(vsctl_commands::remove_port(&state.names, &port)).await,
        None => Ok(()),
    };
    // Closing waits for the kernel.
    let _ = tokio::task::spawn_blocking(move || drop(port_config)).await;
    let name = state.names.tap(port.net.id, port.node);
    tap::remove(&state.netlink, &name, |link| state.names.owns(link)).await?;
    Ok(told?)
}
