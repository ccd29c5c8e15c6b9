//! A complete network backend: a learning Ethernet switch in the process that owns the cluster. It needs no privilege, names
//! no object on the host, and so leaves nothing behind.
//!
//! Each NIC is one end of a socket pair. QEMU has the other end as a descriptor, and sends every frame as one datagram.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::net::UnixDatagram;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{
    BackendContext, Capabilities, HostAccess, KvmArgs, Net, NetBackend, NetError, Netdev, Nic, Port, PortConfig,
    Settings, VmToVm, configure,
};
use xcluster_core::topology::{NetKind, Problems};

/// The backend. One value serves every cluster of a process, so the state of a cluster is in the cluster's store.
#[derive(Debug, Clone, Default)]
pub struct SwitchBackend {
    config: SwitchConfig,
}

/// The settings of a topology: its table `[backend.switch]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SwitchConfig {
    /// How many frames wait for a node that does not read them. Further frames are lost, as in any switch.
    pub queue: NonZeroU16,
}

impl Default for SwitchConfig {
    /// As many as the ring of a NIC of QEMU.
    fn default() -> Self {
        Self { queue: const { NonZeroU16::new(256).unwrap() } }
    }
}

impl SwitchBackend {
    /// The name that topologies and `--net` choose it by.
    pub const NAME: &str = "switch";
    /// The largest MTU: a frame of 65535 bytes without its Ethernet header.
    pub const MTU_MAX: u16 = 65535 - 14;

    /// The backend with this configuration.
    pub const fn new(config: SwitchConfig) -> Self {
        Self { config }
    }
}

#[async_trait]
impl NetBackend for SwitchBackend {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn configured(&self, settings: &Settings) -> Result<Arc<dyn NetBackend>, Problems> {
        Ok(Arc::new(Self::new(configure(&self.config, settings)?)))
    }

    /// Promises, which the tests of every backend prove. The host is on none of the nets, so it has no access.
    fn capabilities(&self, _: NetKind) -> Capabilities {
        let mut capabilities = Capabilities::joining(VmToVm::Switch, Self::MTU_MAX);
        capabilities.hotplug = true;
        capabilities
    }

    /// The host can lack nothing, and clusters share no numbers. A backend with numbers locks them here.
    async fn preflight(&self, context: &BackendContext<'_>, _: &[Net], _: &[Port]) -> Result<(), NetError> {
        if switches(context).is_none() {
            context.store.put(Self::NAME, Switches::default());
        }
        Ok(())
    }

    async fn create_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        let switches = switches(context).ok_or_else(|| too_early("a net is created"))?;
        lock(&switches.0).entry(net.id).or_default();
        Ok(())
    }

    async fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        if port.net.mtu > Self::MTU_MAX {
            return Err(NetError::Refused(format!("an MTU of {} is more than {}", port.net.mtu, Self::MTU_MAX)));
        }
        let switch = switch(context, port.net.id).ok_or_else(|| too_early("a port is set up"))?;
        let kvm =
            switch.plug(port, self.config.queue).map_err(|error| NetError::io("make a pair of sockets", error))?;
        Ok(PortConfig::new(kvm, HostAccess::None))
    }

    async fn teardown(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        if let Some(switch) = switch(context, port.net.id) {
            switch.unplug(port.node);
        }
        Ok(())
    }

    async fn delete_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        if let Some(switches) = switches(context) {
            lock(&switches.0).remove(&net.id);
        }
        Ok(())
    }
}

/// The state of a cluster: a switch for each net.
#[derive(Debug, Default)]
struct Switches(Mutex<BTreeMap<NetId, Arc<Switch>>>);

fn switches(context: &BackendContext<'_>) -> Option<Arc<Switches>> {
    context.store.find(SwitchBackend::NAME)
}

fn switch(context: &BackendContext<'_>, net: NetId) -> Option<Arc<Switch>> {
    lock(&switches(context)?.0).get(&net).cloned()
}

fn too_early(what: &str) -> NetError {
    NetError::Other { message: format!("{what} before what comes first"), source: None }
}

type Mac = [u8; 6];

/// The largest frame: the largest MTU, an Ethernet header, and a VLAN tag, which counts for neither.
const FRAME_MAX: usize = SwitchBackend::MTU_MAX as usize + 14 + 4;
/// How many addresses are learned. A guest may use any number; frames to the others go to every port.
const ADDRESSES_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Switch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ports: BTreeMap<NodeId, Plugged>,
    /// The port behind which an address was last seen.
    learnt: HashMap<Mac, NodeId>,
}

/// A port with two tasks: one reads the frames of the node, the other one sends it frames. They end with the port.
#[derive(Debug)]
struct Plugged {
    /// For a repeated setup. It owns QEMU's end of the pair, so that QEMU may end and start again.
    kvm: KvmArgs,
    to_node: mpsc::Sender<Arc<[u8]>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Plugged {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Switch {
    /// Adds a port for a node. If there is one, the answer is the same as before.
    fn plug(self: &Arc<Self>, port: &Port, queue: NonZeroU16) -> io::Result<KvmArgs> {
        let mut state = lock(&self.0);
        if let Some(plugged) = state.ports.get(&port.node) {
            return Ok(plugged.kvm.clone());
        }
        let (ours, theirs) = StdUnixDatagram::pair()?;
        ours.set_nonblocking(true)?;
        let ours = Arc::new(UnixDatagram::from_std(ours)?);
        let (to_node, queued) = mpsc::channel(queue.get().into());
        let tasks =
            [tokio::spawn(hear(Arc::downgrade(self), port.node, Arc::clone(&ours))), tokio::spawn(tell(queued, ours))];
        let kvm = args(port, theirs.into());
        state.ports.insert(port.node, Plugged { kvm: kvm.clone(), to_node, tasks });
        Ok(kvm)
    }

    fn unplug(&self, node: NodeId) {
        let mut state = lock(&self.0);
        state.ports.remove(&node);
        state.learnt.retain(|_, behind| *behind != node);
    }

    /// Sends a frame to the port of its destination or, while that is unknown, to all ports except its sender's.
    fn forward(&self, from: NodeId, frame: &[u8]) {
        let Some((target, source)) = addresses(frame) else { return };
        let mut state = lock(&self.0);
        if !is_group(source) && (state.learnt.len() < ADDRESSES_MAX || state.learnt.contains_key(&source)) {
            state.learnt.insert(source, from);
        }
        let behind = state.learnt.get(&target).copied();
        let frame: Arc<[u8]> = frame.into();
        for (node, port) in &state.ports {
            if *node != from && behind.is_none_or(|behind| behind == *node) {
                // The queue is full and the frame is lost. Waiting would let one slow node stop all others.
                let _ = port.to_node.try_send(Arc::clone(&frame));
            }
        }
    }
}

/// How QEMU uses a port. The name between the `@` signs stands for the number that the descriptor gets when QEMU is started.
/// All NICs of a node share one QEMU, so the name contains the net.
fn args(port: &Port, descriptor: OwnedFd) -> KvmArgs {
    let name = format!("switch{}", port.net.id);
    let netdev = Netdev::new("socket", port).with("fd", format!("@{name}@"));
    KvmArgs::nic(&netdev, &Nic::virtio(port)).with_descriptor(name, descriptor)
}

/// Forwards the frames of a node. It does not keep the switch alive, which owns this task.
async fn hear(switch: Weak<Switch>, node: NodeId, socket: Arc<UnixDatagram>) {
    let mut frame = vec![0; FRAME_MAX];
    while let Ok(length) = socket.recv(&mut frame).await {
        let Some(switch) = switch.upgrade() else { return };
        switch.forward(node, &frame[..length]);
    }
}

/// Sends a node its waiting frames, as fast as its QEMU reads them.
async fn tell(mut queued: mpsc::Receiver<Arc<[u8]>>, socket: Arc<UnixDatagram>) {
    while let Some(frame) = queued.recv().await {
        if socket.send(&frame).await.is_err() {
            return;
        }
    }
}

/// Destination and source of a frame, if it is one.
fn addresses(frame: &[u8]) -> Option<(Mac, Mac)> {
    let (target, rest) = frame.split_first_chunk()?;
    Some((*target, *rest.first_chunk()?))
}

/// Whether an address is a multicast or broadcast address.
const fn is_group(address: Mac) -> bool {
    address[0] & 1 == 1
}

/// The poison of a mutex is ignored: its state stays valid if a thread panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
