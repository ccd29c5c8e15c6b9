//! The backend itself: which of its parts serves which call. No state of its own; what a cluster has is in its store.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use nix::errno::Errno;
use xcluster_core::host::Namespace;
use xcluster_core::host::netlink::Netlink;
use xcluster_core::host::netlink::link::{LinkChange, LinkSelector};
use xcluster_core::net::{Capabilities, Net, NetBackend, NetError, Port, Settings, Site, VmToVm, Wired, configure};
use xcluster_core::topology::{NetKind, Problems};

use crate::config::{Instance, OvsConfig};
use crate::names::{self, DATAPATH_LOCK, Names};
use crate::net::Place;
use crate::programs::Programs;
use crate::switch::Switch;
use crate::wiring::Wiring;
use crate::{check, error, flows, net, port, probe, rows, sweep, tunnel};

/// The index of `lo`, the first link of every network namespace.
const LOOPBACK: u32 = 1;

/// The folder of an instance of the cluster's own, within the cluster's. The longest name of a socket in it is that of a bridge
/// of net 255, `xcbr255.snoop`: with this folder before it, no longer than a cluster's folder leaves room for.
const FOLDER: &str = "sw";

/// Nets on Open vSwitch, with a tap for each NIC: an instance of the cluster's own in its network namespace, or the host's.
#[derive(Debug, Clone, Default)]
pub struct OvsBackend {
    config: Arc<OvsConfig>,
}

impl OvsBackend {
    /// The name that it is chosen by.
    pub const NAME: &str = "ovs";
    /// The largest MTU. A tap takes frames of 65535 bytes (`MAX_MTU` of drivers/net/tun.c), of which 14 are the Ethernet
    /// header.
    pub const MTU_MAX: u16 = 65535 - 14;

    /// The backend with this configuration.
    pub fn new(config: OvsConfig) -> Self {
        Self { config: Arc::new(config) }
    }

    /// Removes from the host's Open vSwitch what clusters of this user left there whose owners were killed; see [`sweep`].
    ///
    /// # Errors
    /// Those of [`sweep`].
    ///
    /// [`sweep`]: crate::sweep
    pub async fn sweep(&self) -> Result<Vec<String>, NetError> {
        sweep::sweep(&self.config).await
    }

    fn is_private(&self) -> bool {
        matches!(self.config.instance, Instance::Private)
    }

    /// Where the switch is: the host's is where we are.
    fn namespace<'a>(&self, site: &Site<'a>, wiring: &'a Wiring) -> Result<&'a Namespace, NetError> {
        if self.is_private() { site.needed_namespace() } else { Ok(&wiring.here) }
    }

    /// What is remembered of a cluster, or begun to be.
    fn wiring(&self, site: &Site<'_>) -> Result<Arc<Wiring>, NetError> {
        match Wiring::of(site) {
            Some(wiring) => Ok(wiring),
            None => {
                let programs = Programs::find(&self.config)?;
                let netlink = match self.is_private() {
                    true => Netlink::connect(site.needed_namespace()?)?,
                    false => Netlink::connect(&Namespace::here())?,
                };
                Ok(Wiring::begin(site, Names::new(&self.config, site), netlink, programs))
            }
        }
    }

    /// What a call works with whose net has been claimed; none if it has not.
    fn claimed(&self, site: &Site<'_>, net: &Net) -> Option<Arc<Wiring>> {
        Wiring::of(site).filter(|wiring| site.host_locks.holds(&self.lock_of(wiring, net)))
    }

    fn lock_of(&self, wiring: &Wiring, net: &Net) -> String {
        if self.is_private() { names::lock_name(net.id) } else { wiring.names.lock_name() }
    }

    /// What a cluster claims for these nets.
    fn lock_names(&self, wiring: &Wiring, nets: &[Net]) -> Vec<String> {
        let of_nets = nets.iter().filter(|net| self.is_private() || self.config.has_host(net.id));
        let whole = if self.is_private() { DATAPATH_LOCK.to_owned() } else { wiring.names.lock_name() };
        of_nets.map(|net| names::lock_name(net.id)).chain([whole]).collect()
    }

    /// The switch, started or found if need be.
    async fn switch(&self, site: &Site<'_>, wiring: &Wiring) -> Result<Arc<Switch>, NetError> {
        let mut running = wiring.switch.lock().await;
        if let Some(switch) = &*running {
            // One that has ended without anybody's wish is not replaced under a cluster that has nets on it.
            if !(switch.has_ended() && wiring.has_no_net()) {
                return Ok(Arc::clone(switch));
            }
        }
        let switch = if self.is_private() {
            let namespace = self.namespace(site, wiring)?;
            net::make_datapath(namespace, &wiring.netlink).await?;
            Switch::start(&wiring.programs, namespace, &folder(site.dir)).await?
        } else {
            Switch::of_host(&wiring.programs, &self.config.db).await?
        };
        Ok(Arc::clone(running.insert(Arc::new(switch))))
    }

    fn place<'a>(&'a self, site: &Site<'a>, wiring: &'a Wiring, switch: &'a Switch) -> Result<Place<'a>, NetError> {
        let (names, netlink, namespace) = (&wiring.names, &wiring.netlink, self.namespace(site, wiring)?);
        Ok(Place { config: &self.config, names, namespace, netlink, switch })
    }

    /// What is wrong that only a look at the host tells.
    async fn check_host(&self, site: &Site<'_>, wiring: &Wiring, nets: &[Net]) -> Result<Problems, NetError> {
        let namespace = self.namespace(site, wiring)?;
        let mut problems = tunnel::problems(&self.config, nets, namespace, &wiring.netlink).await?;
        for (id, settings) in &self.config.nets {
            if let Some(file) = &settings.flows
                && let Some(what) = flows::problem(&wiring.programs, file).await
            {
                problems.add(format!("net.{id}.flows"), what);
            }
        }
        Ok(problems)
    }

    /// Everything that is wrong with the configuration, here and for this cluster.
    async fn check(&self, site: &Site<'_>, nets: &[Net], ports: &[Port]) -> Result<Arc<Wiring>, NetError> {
        let mut problems = check::check_for(&self.config, nets);
        // Of a cluster that grows these are the new ones alone.
        if Wiring::of(site).is_none_or(|wiring| wiring.has_no_net()) {
            problems.extend(check::check_members(&self.config, nets, ports));
        }
        let wiring = self.wiring(site);
        if let Ok(wiring) = &wiring {
            problems.extend(self.check_host(site, wiring, nets).await?);
        }
        if problems.is_empty() { wiring } else { Err(error::refused(&problems)) }
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

    /// Durable on the host's Open vSwitch, which outlives its clusters. Where the kernel forwards, checksums are left to it; but
    /// whether it does is not known here.
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

    async fn preflight(&self, site: &Site<'_>, nets: &[Net], ports: &[Port]) -> Result<(), NetError> {
        let wiring = self.check(site, nets, ports).await?;
        let namespace = self.namespace(site, &wiring)?;
        wiring.programs.check_version(self.config.instance).await?;
        // A change of nothing is refused as any would be.
        let permitted = wiring.netlink.change(LinkSelector::Index(LOOPBACK), &LinkChange::default()).await;
        permitted.map_err(|failure| match failure.errno() {
            Some(Errno::EPERM) => error::no_privilege(!self.is_private()),
            _ => failure.into(),
        })?;
        let new = ports.iter().filter(|port| wiring.wired(port).is_none()).count();
        // A net has up to two links besides, and the datapath one.
        namespace.expect_tuns(2 + 2 * nets.len() + new);
        namespace.tun()?;
        if !self.is_private() {
            self.switch(site, &wiring).await?;
        }
        let claimed = site.host_locks.take_all_in(namespace, self.lock_names(&wiring, nets));
        claimed.map_err(|error| error::not_locked(error, !self.is_private()))
    }

    async fn create_net(&self, site: &Site<'_>, net: &Net) -> Result<(), NetError> {
        let wiring = self.claimed(site, net).ok_or_else(|| error::too_early("create_net"))?;
        if wiring.net(net.id) == Some(true) {
            return Ok(());
        }
        let switch = self.switch(site, &wiring).await?;
        if !self.is_private() && wiring.has_no_net() {
            let here = self.namespace(site, &wiring)?;
            sweep::sweep_but(&switch, here, &wiring.netlink, Some(&wiring.names)).await?;
        }
        wiring.keep_net(net.id, false);
        net::make(self.place(site, &wiring, &switch)?, net).await?;
        wiring.keep_net(net.id, true);
        Ok(())
    }

    async fn setup(&self, site: &Site<'_>, port: &Port) -> Result<Wired, NetError> {
        let wiring = self.claimed(site, &port.net).filter(|wiring| wiring.net(port.net.id) == Some(true));
        let wiring = wiring.ok_or_else(|| error::too_early("setup"))?;
        if let Some(wired) = wiring.wired(port) {
            return Ok(wired);
        }
        wiring.gone(port).await?;
        let switch = wiring.running().await.ok_or_else(|| error::too_early("setup"))?;
        let wired = port::wire(self.place(site, &wiring, &switch)?, port).await?;
        wiring.keep(port, wired.clone());
        Ok(wired)
    }

    /// The port is on its way out then: the kernel takes some 10 ms for each, and many go at the same time.
    /// [`delete_net`](NetBackend::delete_net) waits for them.
    async fn teardown(&self, site: &Site<'_>, port: &Port) -> Result<(), NetError> {
        if self.is_private() {
            let Some(wiring) = self.claimed(site, &port.net) else { return Ok(()) };
            let Some(switch) = wiring.running().await else { return Ok(()) };
            let wired = wiring.forget(port);
            let order = (!switch.has_ended()).then_some(switch);
            wiring.let_go(port, tokio::spawn(port::let_go(Arc::clone(&wiring), order, port.clone(), wired)));
            return Ok(());
        }
        let wiring = self.wiring(site)?;
        let wired = wiring.forget(port);
        let switch = self.switch(site, &wiring).await;
        let found = match &switch {
            Ok(switch) => {
                let name = wiring.names.tap(port.net.id, port.node);
                let owner = rows::owner(switch, "Port", &name, &wiring.names).await;
                owner.map(|owner| (owner == rows::Owner::Ours).then(|| Arc::clone(switch)))
            }
            Err(_) => Ok(None),
        };
        // The tap goes also where the database does not answer.
        let switch_to_tell = found.as_ref().ok().cloned().flatten();
        wiring.let_go(port, tokio::spawn(port::let_go(Arc::clone(&wiring), switch_to_tell, port.clone(), wired)));
        switch?;
        found.map(drop)
    }

    async fn delete_net(&self, site: &Site<'_>, net: &Net) -> Result<(), NetError> {
        let wiring = if self.is_private() {
            let Some(wiring) = self.claimed(site, net) else { return Ok(()) };
            wiring
        } else {
            self.wiring(site)?
        };
        let ports_gone = wiring.net_gone(net.id).await;
        if self.is_private() && wiring.running().await.is_none() {
            net::remove_links(&wiring.netlink, &wiring.names, net).await?;
        } else {
            let switch = self.switch(site, &wiring).await?;
            net::remove(self.place(site, &wiring, &switch)?, net).await?;
        }
        ports_gone?;
        site.host_locks.release([names::lock_name(net.id)]);
        if wiring.forget_net(net.id) {
            self.end(site, &wiring).await?;
        }
        Ok(())
    }
}

impl OvsBackend {
    /// The end of all that the nets of a cluster share.
    async fn end(&self, site: &Site<'_>, wiring: &Wiring) -> Result<(), NetError> {
        let switch = wiring.switch.lock().await.take();
        if let Some(switch) = switch {
            switch.end().await?;
        }
        if self.is_private() {
            net::remove_those(&wiring.netlink, names::is_datapath).await?;
            // Whatever stays goes with the cluster's folder.
            let _ = std::fs::remove_dir_all(folder(site.dir));
        }
        site.host_locks.release(self.lock_names(wiring, &[]));
        Ok(())
    }
}

fn folder(dir: &Path) -> PathBuf {
    dir.join(FOLDER)
}
