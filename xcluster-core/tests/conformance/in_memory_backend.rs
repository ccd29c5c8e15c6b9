//! A backend whose objects on the host are files in a folder, each with an ownership mark: like bridges, but without privilege. It
//! keeps the contract, or breaches it in one way.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use xcluster_core::name::ClusterName;
use xcluster_core::net::{
    BackendContext, Capabilities, HostAccess, KvmArgs, Net, NetBackend, NetError, Netdev, Nic, Port, PortConfig, VmToVm,
};
use xcluster_core::testing::conformance::ForeignObjects;
use xcluster_core::testing::{TestFailure, ensure};
use xcluster_core::topology::NetKind;

use crate::cases::{Breach, Place};
use crate::segment::{Loss, Segment};

/// The ownership mark: the content of the backend's files.
const MARK: &str = "made by the in-memory backend";
/// The most that fits a UDP datagram, less an Ethernet header.
const MTU: u16 = 65507 - 14;

/// The backend.
#[derive(Debug)]
pub(crate) struct InMemoryBackend {
    host: PathBuf,
    place: Place,
    breach: Breach,
    busy: AtomicBool,
    /// How often a net was created: some breaches begin with the second time.
    created: AtomicU32,
    torn_down: Mutex<BTreeSet<String>>,
}

impl InMemoryBackend {
    /// A new backend whose files are in this folder.
    pub(crate) fn shared(host: &Path, place: Place, breach: Breach) -> Arc<dyn NetBackend> {
        let (busy, created, torn_down) = Default::default();
        Arc::new(Self { host: host.to_owned(), place, breach, busy, created, torn_down })
    }

    fn breaches(&self, breach: Breach) -> bool {
        self.breach == breach
    }

    fn net_file(&self, context: &BackendContext<'_>, net: &Net) -> PathBuf {
        self.host.join(net_name(context.cluster, net))
    }

    fn port_file(&self, context: &BackendContext<'_>, port: &Port) -> PathBuf {
        self.host.join(format!("{}-{}", net_name(context.cluster, &port.net), port.node))
    }

    /// The UDP port of the cluster's multicast groups: chosen once, and locked.
    fn udp_port(&self, context: &BackendContext<'_>) -> Result<u16, NetError> {
        if self.breaches(Breach::OneClusterForAll) {
            return Ok(30000);
        }
        if let Some(port) = context.store.find::<u16>("memory") {
            return Ok(*port);
        }
        let port = (30000..31000).find(|port| context.host_locks.take_all([format!("memory/{port}")]).is_ok());
        let port = port.ok_or_else(|| NetError::unsupported("all ports are locked"))?;
        context.store.put("memory", port);
        Ok(port)
    }

    /// Refuses a port beyond the limit that is promised.
    fn check_limit(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        let max = self.capabilities(port.net.kind).max_ports.unwrap_or(usize::MAX);
        let prefix = format!("{}-", net_name(context.cluster, &port.net));
        let entries = fs::read_dir(&self.host).map_err(|error| NetError::io("read", error))?;
        let is_other = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&prefix) && path != self.port_file(context, port)
        };
        let others = entries.flatten().filter(|entry| is_other(&entry.path())).count();
        if others < max { Ok(()) } else { Err(NetError::Refused(format!("net {} has {max} ports", port.net.id))) }
    }

    fn netdev(&self, context: &BackendContext<'_>, port: &Port) -> Result<Netdev, NetError> {
        let (net, node) = (port.net.id.number(), port.node.number());
        let group = match self.breach {
            Breach::OneNetForAll => "239.0.0.1".to_owned(),
            Breach::JoinsNoPorts => format!("239.1.{net}.{node}"),
            _ => format!("239.0.0.{net}"),
        };
        let netdev = Netdev::new("socket", port).with("mcast", format!("{group}:{}", self.udp_port(context)?));
        Ok(netdev.with("localaddr", "127.0.0.1"))
    }

    fn nic(&self, port: &Port) -> Nic {
        let nic = Nic::virtio(port);
        match self.breach {
            Breach::OtherArgs if self.created.load(Ordering::Relaxed) > 2 => nic.with("tx", "timer"),
            Breach::UnknownArg => nic.with("speed_of_light", "on"),
            _ => nic,
        }
    }

    fn args(&self, context: &BackendContext<'_>, port: &Port) -> Result<KvmArgs, NetError> {
        let netdev = self.netdev(context, port)?;
        let usual = KvmArgs::nic(&netdev, &self.nic(port));
        // Some breaches concern only the router's ports.
        let is_router = port.node.number() > 200;
        match self.breach {
            Breach::NoDevice if is_router => Ok(KvmArgs::from_args(["-netdev".to_owned(), netdev.to_string()])),
            Breach::ColdDevice if is_router => {
                let debug = ["-device", "isa-debug-exit"].map(str::to_owned);
                Ok(KvmArgs::from_args(usual.args().iter().cloned().chain(debug)))
            }
            Breach::LosesSome => lossy(context, port, &self.nic(port), Loss::TcpOverIpv6),
            Breach::LosesAFrame => lossy(context, port, &self.nic(port), Loss::Text("single frame 7 of")),
            Breach::Lossy => lossy(context, port, &self.nic(port), Loss::Broadcasts),
            _ => Ok(usual),
        }
    }

    /// The host locks of nets that clusters share.
    fn lock_names<'a>(&self, nets: impl IntoIterator<Item = &'a Net>) -> Vec<String> {
        let nets = nets.into_iter().filter(|_| self.place == Place::Shared);
        nets.map(|net| format!("memory/net/{}", net.id)).collect()
    }

    async fn make_port(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        let asked = context.store.find::<Vec<Port>>("memory ports");
        if self.breaches(Breach::ForgetsTheFirst) && asked.is_some_and(|asked| !asked.contains(port)) {
            return Err(NetError::Refused("unknown port".to_owned()));
        }
        let file = self.port_file(context, port);
        if !self.net_file(context, &port.net).exists() {
            if self.breaches(Breach::LeavesDebris) {
                write(&file.with_extension("half"))?;
            }
            return Err(NetError::Refused("no such net".to_owned()));
        }
        if port.net.mtu > self.capabilities(port.net.kind).mtu_max {
            if self.breaches(Breach::LeavesWhatIsTooMuch) {
                write(&file.with_extension("large"))?;
            }
            return Err(NetError::Refused(format!("MTU {} is too much", port.net.mtu)));
        }
        // Ports of other nodes are set up meanwhile, as when a backend waits for the kernel.
        tokio::task::yield_now().await;
        if self.breaches(Breach::Duplicates) && file.exists() {
            write(&file.with_extension("duplicate"))?;
        }
        if self.breaches(Breach::Forgets) {
            write(&self.host.join("something"))?;
        }
        context.store.put(&file.display().to_string(), ());
        write(&file)
    }
}

#[async_trait]
impl NetBackend for InMemoryBackend {
    fn name(&self) -> &str {
        "memory"
    }

    fn capabilities(&self, _: NetKind) -> Capabilities {
        let (vm_to_vm, mtu) = match self.breach {
            Breach::CalledASwitch => (VmToVm::Switch, MTU),
            Breach::TooMuchMtu => (VmToVm::Hub, u16::MAX),
            Breach::HearsThough => (VmToVm::None, MTU),
            _ => (VmToVm::Hub, MTU),
        };
        let mut capabilities = Capabilities::joining(vm_to_vm, mtu);
        // Another process could not undo what this breach forgets: without the promise, only `AsBefore` fails.
        capabilities.durable = !self.breaches(Breach::Forgets);
        capabilities.hotplug = true;
        capabilities.max_ports = self.breaches(Breach::PointToPoint).then_some(2);
        capabilities.lossy = self.breaches(Breach::Lossy);
        capabilities.host_access = self.breaches(Breach::NoHost);
        capabilities
    }

    async fn preflight(&self, context: &BackendContext<'_>, nets: &[Net], ports: &[Port]) -> Result<(), NetError> {
        context.store.put("memory ports", ports.to_vec());
        if let Err(error) = context.host_locks.take_all(self.lock_names(nets))
            && !self.breaches(Breach::TakesUsedNet)
        {
            return Err(NetError::InUse { what: error.to_string(), by: "another cluster".to_owned() });
        }
        self.udp_port(context).map(drop)
    }

    async fn create_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        self.created.fetch_add(1, Ordering::Relaxed);
        let file = self.net_file(context, net);
        if file.exists() && !is_ours(&file) && !self.breaches(Breach::Overwrites) {
            return Err(NetError::Conflict { object: file.display().to_string() });
        }
        write(&file)
    }

    async fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        if self.breaches(Breach::OneAtATime) && self.busy.swap(true, Ordering::Relaxed) {
            return Err(NetError::Refused("busy".to_owned()));
        }
        self.check_limit(context, port)?;
        let made = self.make_port(context, port).await;
        self.busy.store(false, Ordering::Relaxed);
        made?;
        Ok(PortConfig::new(self.args(context, port)?, HostAccess::None))
    }

    async fn teardown(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        let file = self.port_file(context, port);
        let name = file.display().to_string();
        if self.breaches(Breach::NeedsState) && context.store.find::<()>(&name).is_none() {
            return Ok(());
        }
        if self.breaches(Breach::AbsentIsAnError) {
            let first = self.torn_down.lock().expect("no thread panics with the lock held").insert(name.clone());
            if !first && !file.exists() {
                return Err(NetError::io(format!("remove {name}"), io::Error::from(io::ErrorKind::NotFound)));
            }
        }
        remove(&file.with_extension("duplicate"))?;
        remove(&file)
    }

    async fn delete_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        if self.breaches(Breach::TouchesOthers) {
            for entry in fs::read_dir(&self.host).map_err(|error| NetError::io("read", error))?.flatten() {
                if is_ours(&entry.path()) {
                    remove(&entry.path())?;
                }
            }
        }
        let file = self.net_file(context, net);
        if is_ours(&file) {
            remove(&file)?;
        }
        context.host_locks.release(self.lock_names([net]));
        Ok(())
    }
}

/// A port of a [`Segment`], which loses frames.
fn lossy(context: &BackendContext<'_>, port: &Port, nic: &Nic, loss: Loss) -> Result<KvmArgs, NetError> {
    let (segment, end) = (format!("segment {}", port.net.id), format!("end{}", port.net.id));
    if context.store.find::<Arc<Segment>>(&segment).is_none() {
        context.store.put(&segment, Arc::new(Segment::new(loss)));
    }
    let segment =
        context.store.find::<Arc<Segment>>(&segment).ok_or_else(|| NetError::unsupported("the store is empty"))?;
    let descriptor = segment.plug().map_err(|error| NetError::io("make a socket", error))?;
    let netdev = Netdev::new("socket", port).with("fd", format!("@{end}@"));
    Ok(KvmArgs::nic(&netdev, nic).with_descriptor(end, descriptor))
}

/// Files that are foreign to the backend, with its names.
#[derive(Debug)]
pub(crate) struct ForeignFiles(PathBuf);

impl ForeignFiles {
    pub(crate) fn new(host: &Path) -> Self {
        Self(host.to_owned())
    }
}

#[async_trait(?Send)]
impl ForeignObjects for ForeignFiles {
    async fn plant(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), TestFailure> {
        Ok(fs::write(self.0.join(net_name(context.cluster, net)), "mine")?)
    }

    async fn remove_intact(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), TestFailure> {
        let file = self.0.join(net_name(context.cluster, net));
        let text = fs::read_to_string(&file).unwrap_or_default();
        ensure(text == "mine", || format!("{} is not as it was", file.display()))?;
        Ok(fs::remove_file(file)?)
    }
}

fn net_name(cluster: &ClusterName, net: &Net) -> String {
    format!("{cluster}-{}", net.id)
}

fn is_ours(file: &Path) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text == MARK)
}

fn write(file: &Path) -> Result<(), NetError> {
    fs::write(file, MARK).map_err(|error| NetError::io(format!("write {}", file.display()), error))
}

fn remove(file: &Path) -> Result<(), NetError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NetError::io(format!("remove {}", file.display()), error))
        }
        _ => Ok(()),
    }
}
