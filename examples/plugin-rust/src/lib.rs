//! A network backend that is loaded at run time. Each net is a repeater, which sends each frame to all other ports, and each
//! NIC is a socket to it. QEMU and the repeater hold the two ends of a socket pair, so it needs no privilege and leaves
//! nothing behind.
//!
//! * `lib.rs`: the backend, and the line that exports it. * `repeater`: the net itself.

mod repeater;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xcluster_core::external::plugin::BlockingBackend;
use xcluster_core::net::{
    BackendContext, Capabilities, HostAccess, KvmArgs, Net, NetError, Netdev, Nic, Port, PortConfig, Settings, VmToVm,
    configure,
};
use xcluster_core::topology::{NetKind, Problems};

use repeater::Repeaters;

/// The settings of a topology: the table `[backend.repeater]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The largest MTU that is carried, in bytes.
    mtu_max: u16,
}

/// The backend. Its state of a cluster is in the cluster's store, and ends with it.
#[derive(Debug)]
struct Repeater {
    config: Config,
}

const NAME: &str = "repeater";

impl Repeater {
    fn new() -> Self {
        Self { config: Config { mtu_max: 9000 } }
    }

    fn refusal(&self, net: &Net) -> Option<String> {
        let max = self.config.mtu_max;
        (net.mtu > max).then(|| format!("net {} has an MTU of {}, and the most is {max}", net.id, net.mtu))
    }
}

impl BlockingBackend for Repeater {
    fn name(&self) -> &str {
        NAME
    }

    fn configured(&self, settings: &Settings) -> Result<Arc<dyn BlockingBackend>, Problems> {
        Ok(Arc::new(Self { config: configure(&self.config, settings)? }))
    }

    /// To guests it is a switch: a sender does not get its own frames.
    fn capabilities(&self, _: NetKind) -> Capabilities {
        let mut capabilities = Capabilities::joining(VmToVm::Switch, self.config.mtu_max);
        capabilities.hotplug = true;
        capabilities
    }

    fn preflight(&self, context: &BackendContext<'_>, nets: &[Net], _: &[Port]) -> Result<(), NetError> {
        let refusals: Vec<String> = nets.iter().filter_map(|net| self.refusal(net)).collect();
        if !refusals.is_empty() {
            return Err(NetError::Refused(refusals.join("; ")));
        }
        if repeaters(context).is_none() {
            context.store.put(NAME, Arc::new(Repeaters::default()));
        }
        Ok(())
    }

    fn create_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        let repeaters = repeaters(context).ok_or_else(too_early)?;
        repeaters.begin(net.id).map_err(|error| NetError::io("begin a repeater", error))
    }

    fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        let repeater = repeaters(context).and_then(|repeaters| repeaters.find(port.net.id)).ok_or_else(too_early)?;
        let socket = repeater.plug(port.node).map_err(|error| NetError::io("make a socket pair", error))?;
        let name = port.netdev();
        let netdev = Netdev::new("socket", port).with("fd", format!("@{name}@"));
        let kvm = KvmArgs::nic(&netdev, &Nic::virtio(port)).with_descriptor(name, socket);
        Ok(PortConfig::new(kvm, HostAccess::None))
    }

    fn teardown(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        if let Some(repeater) = repeaters(context).and_then(|repeaters| repeaters.find(port.net.id)) {
            repeater.unplug(port.node);
        }
        Ok(())
    }

    fn delete_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        if let Some(repeaters) = repeaters(context) {
            repeaters.end(net.id);
        }
        Ok(())
    }
}

/// The state of this cluster; none before its preflight.
fn repeaters(context: &BackendContext<'_>) -> Option<Arc<Repeaters>> {
    context.store.find::<Arc<Repeaters>>(NAME).map(|repeaters| Arc::clone(&*repeaters))
}

fn too_early() -> NetError {
    NetError::Other { message: "it was called too early".to_owned(), source: None }
}

xcluster_core::export_plugin!(blocking Repeater::new());
