//! The backend: which of its parts serves which call. It has no state; that of a cluster is in the cluster's store.

use std::sync::Arc;

use async_trait::async_trait;
use nix::errno::Errno;
use xcluster_core::host::Namespace;
use xcluster_core::host::folder::Subfolder;
use xcluster_core::net::{
    BackendContext, Capabilities, Net, NetBackend, NetError, Port, PortConfig, Settings, VmToVm, configure,
};
use xcluster_core::netlink::link::{LinkChange, LinkSelector};
use xcluster_core::netlink::{Netlink, ownership};
use xcluster_core::topology::{NetKind, Problems};

use crate::config::{self, Instance, OvsConfig};
use crate::names::{self, DATAPATH_LOCK, Names};
use crate::net::NetContext;
use crate::programs::Programs;
use crate::state::OvsState;
use crate::switch::Switch;
use crate::{check, error, flows, gc, net, port, probe, row_owner, tunnel};

/// The index of `lo`, the first link of every network namespace.
const LOOPBACK: u32 = 1;

/// The folder of a private instance, within the cluster's folder. The longest socket name in it is that of a bridge of net
/// 255, `xcbr255.snoop`: with this folder before it, it fits the space that a cluster's folder leaves.
const FOLDER: &str = "sw";

/// Nets on Open vSwitch, with a tap for each NIC: a private instance in the cluster's network namespace, or the host's
/// instance.
#[derive(Debug, Clone, Default)]
pub struct OvsBackend {
    config: Arc<OvsConfig>,
}

impl OvsBackend {
    /// The name that topologies and `--net` choose it by.
    pub const NAME: &str = config::NAME;
    /// The largest MTU in bytes: that of a tap.
    pub const MTU_MAX: u16 = config::MTU_MAX;

    /// The backend with this configuration.
    pub fn new(config: OvsConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// Removes what clusters of this user with killed owners left in the host's Open vSwitch; see [`gc`].
    ///
    /// # Errors
    /// Those of [`gc`].
    ///
    /// [`gc`]: crate::gc()
    pub async fn gc(&self) -> Result<Vec<String>, NetError> {
        gc::gc(&self.config).await
    }

    fn is_private(&self) -> bool {
        matches!(self.config.instance, Instance::Private)
    }

    /// The namespace of the switch: the host's is in that of the owner.
    fn namespace<'a>(&self, context: &BackendContext<'a>, state: &'a OvsState) -> Result<&'a Namespace, NetError> {
        if self.is_private() { context.needed_namespace() } else { Ok(&state.here) }
    }

    /// The state of a cluster, made if there is none.
    fn state(&self, context: &BackendContext<'_>) -> Result<Arc<OvsState>, NetError> {
        match OvsState::of(context) {
            Some(state) => Ok(state),
            None => {
                let programs = Programs::find(&self.config)?;
                let netlink = match self.is_private() {
                    true => Netlink::connect(context.needed_namespace()?)?,
                    false => Netlink::connect(&Namespace::here())?,
                };
                Ok(OvsState::begin(context, Names::new(&self.config, context), netlink, programs))
            }
        }
    }

    /// The state for a call about a net that this cluster has locked; `None` if it has not.
    fn locked(&self, context: &BackendContext<'_>, net: &Net) -> Option<Arc<OvsState>> {
        OvsState::of(context).filter(|state| context.host_locks.holds(&self.lock_of(state, net)))
    }

    fn lock_of(&self, state: &OvsState, net: &Net) -> String {
        if self.is_private() { ownership::lock_name(net.id) } else { state.names.lock_name() }
    }

    /// The host locks of a cluster for these nets.
    fn lock_names(&self, state: &OvsState, nets: &[Net]) -> Vec<String> {
        let of_nets = nets.iter().filter(|net| self.is_private() || self.config.has_host(net.id));
        let whole = if self.is_private() { DATAPATH_LOCK.to_owned() } else { state.names.lock_name() };
        of_nets.map(|net| ownership::lock_name(net.id)).chain([whole]).collect()
    }

    /// The switch, started or found if needed.
    async fn switch(&self, context: &BackendContext<'_>, state: &OvsState) -> Result<Arc<Switch>, NetError> {
        let mut running = state.switch.lock().await;
        if let Some(switch) = &*running {
            // A switch that has ended unexpectedly is not replaced while the cluster has nets on it.
            if !(switch.has_ended() && state.has_no_net()) {
                return Ok(Arc::clone(switch));
            }
        }
        let switch = if self.is_private() {
            let namespace = self.namespace(context, state)?;
            net::make_datapath(namespace, &state.netlink).await?;
            let dir = context.dir.join(FOLDER);
            let made = Subfolder::make(context.dir, FOLDER);
            let made = made.map_err(|source| NetError::io(format!("make the folder `{}`", dir.display()), source))?;
            Switch::start(&state.programs, namespace, made).await?
        } else {
            Switch::of_host(&state.programs, &self.config.db).await?
        };
        Ok(Arc::clone(running.insert(Arc::new(switch))))
    }

    fn net_context<'a>(
        &'a self,
        context: &BackendContext<'a>,
        state: &'a OvsState,
        switch: &'a Switch,
    ) -> Result<NetContext<'a>, NetError> {
        let (names, netlink, namespace) = (&state.names, &state.netlink, self.namespace(context, state)?);
        Ok(NetContext { config: &self.config, names, namespace, netlink, switch })
    }

    /// Problems that only the host shows.
    async fn check_host(
        &self,
        context: &BackendContext<'_>,
        state: &OvsState,
        nets: &[Net],
    ) -> Result<Problems, NetError> {
        let namespace = self.namespace(context, state)?;
        let mut problems = tunnel::problems(&self.config, nets, namespace, &state.netlink).await?;
        for (id, settings) in &self.config.nets {
            if let Some(file) = &settings.flows
                && let Some(what) = flows::problem(&state.programs, file).await
            {
                problems.add(format!("net.{id}.flows"), what);
            }
        }
        Ok(problems)
    }

    /// Checks the configuration, by itself and for this cluster.
    async fn check(
        &self,
        context: &BackendContext<'_>,
        nets: &[Net],
        ports: &[Port],
    ) -> Result<Arc<OvsState>, NetError> {
        let mut problems = check::check_for(&self.config, nets);
        // When a cluster grows, these are only the new ones.
        if OvsState::of(context).is_none_or(|state| state.has_no_net()) {
            problems.extend(check::check_members(&self.config, nets, ports));
        }
        let state = self.state(context);
        if let Ok(state) = &state {
            problems.extend(self.check_host(context, state, nets).await?);
        }
        if problems.is_empty() { state } else { Err(error::refused(&problems)) }
    }
}

#[async_trait]
impl NetBackend for OvsBackend {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn configured(&self, settings: &Settings) -> Result<Arc<dyn NetBackend>, Problems> {
        let config: OvsConfig = configure(&*self.config, settings)?;
        check::check(&config).into_result().map(|()| Arc::new(Self::new(config)) as Arc<dyn NetBackend>)
    }

    /// Durable on the host's Open vSwitch, which outlives its clusters. The kernel's datapath would take offloads, but which
    /// datapath is used is not known here.
    fn capabilities(&self, _: NetKind) -> Capabilities {
        let mut capabilities = Capabilities::joining(VmToVm::Switch, Self::MTU_MAX);
        capabilities.host_access = self.config.host;
        capabilities.durable = !self.is_private();
        capabilities.hotplug = true;
        capabilities.needs_namespace = self.is_private();
        capabilities
    }

    fn usable(&self) -> Result<(), NetError> {
        probe::probe(&self.config)
    }

    async fn preflight(&self, context: &BackendContext<'_>, nets: &[Net], ports: &[Port]) -> Result<(), NetError> {
        let state = self.check(context, nets, ports).await?;
        let namespace = self.namespace(context, &state)?;
        state.programs.check_version(self.config.instance).await?;
        // An empty change needs the same privilege as any other.
        let permitted = state.netlink.change(LinkSelector::Index(LOOPBACK), &LinkChange::default()).await;
        permitted.map_err(|failure| match failure.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EPERM) => error::no_privilege(!self.is_private()),
            _ => failure.into(),
        })?;
        let new = ports.iter().filter(|port| state.ports.config(port).is_none()).count();
        // A net has up to two other links, and the datapath has one.
        namespace.expect_tuns(2 + 2 * nets.len() + new);
        namespace.tun()?;
        if !self.is_private() {
            self.switch(context, &state).await?;
        }
        let locked = context.host_locks.take_all_in(namespace, self.lock_names(&state, nets));
        locked.map_err(|error| error::not_locked(error, !self.is_private()))
    }

    async fn create_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        let state = self.locked(context, net).ok_or_else(|| error::too_early("create_net"))?;
        if state.net(net.id) == Some(true) {
            return Ok(());
        }
        let switch = self.switch(context, &state).await?;
        if !self.is_private() && state.has_no_net() {
            let here = self.namespace(context, &state)?;
            gc::gc_except(&switch, here, &state.netlink, Some(&state.names)).await?;
        }
        state.keep_net(net.id, false);
        net::make(self.net_context(context, &state, &switch)?, net).await?;
        state.keep_net(net.id, true);
        Ok(())
    }

    async fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        let state = self.locked(context, &port.net).filter(|state| state.net(port.net.id) == Some(true));
        let state = state.ok_or_else(|| error::too_early("setup"))?;
        if let Some(port_config) = state.ports.config(port) {
            return Ok(port_config);
        }
        state.ports.wait_removed(port).await?;
        let switch = state.running().await.ok_or_else(|| error::too_early("setup"))?;
        let port_config = port::set_up(self.net_context(context, &state, &switch)?, port).await?;
        state.ports.keep(port, port_config.clone());
        Ok(port_config)
    }

    /// Starts the removal of the port, which takes the kernel about 10 ms; many run at the same time.
    /// [`delete_net`](NetBackend::delete_net) waits for them.
    async fn teardown(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        if self.is_private() {
            let Some(state) = self.locked(context, &port.net) else { return Ok(()) };
            let Some(switch) = state.running().await else { return Ok(()) };
            let port_config = state.ports.forget(port);
            let command = (!switch.has_ended()).then_some(switch);
            state.ports.remove_async(port, port::remove_tap(Arc::clone(&state), command, port.clone(), port_config));
            return Ok(());
        }
        let state = self.state(context)?;
        let port_config = state.ports.forget(port);
        let switch = self.switch(context, &state).await;
        let found = match &switch {
            Ok(switch) => {
                let name = state.names.tap(port.net.id, port.node);
                let owner = row_owner::row_owner(switch, "Port", &name, &state.names).await;
                owner.map(|owner| (owner == row_owner::RowOwner::Ours).then(|| Arc::clone(switch)))
            }
            Err(_) => Ok(None),
        };
        // The tap is removed also if the database does not answer.
        let reachable = found.as_ref().ok().cloned().flatten();
        state.ports.remove_async(port, port::remove_tap(Arc::clone(&state), reachable, port.clone(), port_config));
        switch?;
        found.map(drop)
    }

    async fn delete_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        let state = if self.is_private() {
            let Some(state) = self.locked(context, net) else { return Ok(()) };
            state
        } else {
            self.state(context)?
        };
        let ports_gone = state.ports.wait_net_removed(net.id).await;
        if self.is_private() && state.running().await.is_none() {
            net::remove_links(&state.netlink, &state.names, net).await?;
        } else {
            let switch = self.switch(context, &state).await?;
            net::remove(self.net_context(context, &state, &switch)?, net).await?;
        }
        ports_gone?;
        context.host_locks.release([ownership::lock_name(net.id)]);
        if state.forget_net(net.id) {
            self.end(context, &state).await?;
        }
        Ok(())
    }
}

impl OvsBackend {
    /// Ends what the nets of a cluster share.
    async fn end(&self, context: &BackendContext<'_>, state: &OvsState) -> Result<(), NetError> {
        let switch = state.switch.lock().await.take();
        if let Some(switch) = switch {
            switch.end().await?;
        }
        if self.is_private() {
            net::remove_those(&state.netlink, names::is_datapath).await?;
        }
        context.host_locks.release(self.lock_names(state, &[]));
        Ok(())
    }
}
