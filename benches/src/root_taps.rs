//! A backend that does what people do by hand: root runs `ip` in a named network namespace, and QEMU gets the taps by name.
//! For comparison only: a process that is killed leaves the namespace behind.

use anyhow::Result;
use async_trait::async_trait;
use xcluster_core::host::Namespace;
use xcluster_core::net::{
    BackendContext, Capabilities, HostAccess, KvmArgs, Net, NetBackend, NetError, Netdev, Nic, Port, PortConfig, VmToVm,
};
use xcluster_core::topology::NetKind;

use crate::ip;

/// Bridges and taps made by `ip` as root. Dropping it removes them with their namespace.
#[derive(Debug)]
pub struct RootTaps {
    netns: String,
}

impl RootTaps {
    /// Makes a namespace that is named after this process: there can be one at a time.
    ///
    /// # Errors
    /// The process does not run as root.
    pub fn new() -> Result<Self> {
        let netns = format!("xcluster-bench-{}", std::process::id());
        ip::batch(&[], &[format!("netns add {netns}")], &Namespace::here())?;
        Ok(Self { netns })
    }

    fn inside(&self, lines: &[String]) -> Result<(), NetError> {
        ip::batch(&["-n", &self.netns], lines, &Namespace::here())
            .map_err(|error| NetError::Other { message: error.to_string(), source: Some(error.into()) })
    }
}

impl Drop for RootTaps {
    fn drop(&mut self) {
        if let Err(error) = ip::batch(&[], &[format!("netns del {}", self.netns)], &Namespace::here()) {
            eprintln!("{error:#}");
        }
    }
}

#[async_trait]
impl NetBackend for RootTaps {
    fn name(&self) -> &str {
        "root-taps"
    }

    fn capabilities(&self, _: NetKind) -> Capabilities {
        Capabilities::joining(VmToVm::Switch, 1500)
    }

    async fn preflight(&self, _: &BackendContext<'_>, _: &[Net], _: &[Port]) -> Result<(), NetError> {
        Ok(())
    }

    async fn create_net(&self, _: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        self.inside(&ip::bridge(net))
    }

    async fn setup(&self, _: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        self.inside(&ip::tap(port))?;
        let netdev = Netdev::new("tap", port).with("ifname", ip::tap_name(port));
        // Otherwise QEMU runs the host's scripts that add taps to bridges.
        let netdev = netdev.with("script", "no").with("downscript", "no");
        let kvm = KvmArgs::nic(&netdev, &Nic::virtio(port)).in_netns(format!("/run/netns/{}", self.netns));
        Ok(PortConfig::new(kvm, HostAccess::None))
    }

    async fn teardown(&self, _: &BackendContext<'_>, _: &Port) -> Result<(), NetError> {
        Ok(())
    }

    async fn delete_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        Ok(())
    }
}
