//! A network backend of one's own, all of it: a learning Ethernet switch in the process that owns the cluster. It needs no
//! privilege, gives nothing a name, and so leaves nothing behind.
//!
//! Each NIC is one end of a pair of sockets. QEMU has the other end as a descriptor and sends every frame as one datagram.

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

/// The backend. One value serves every cluster of a process, so what belongs to a cluster is not in here but in its store.
#[derive(Debug, Clone, Default)]
pub struct SwitchBackend {
    config: SwitchConfig,
}

/// What a topology may say in its table `[backend.switch]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SwitchConfig {
    /// How many frames wait for a node that does not take them. What comes when there is no room is lost, as in any switch.
    pub queue: NonZeroU16,
}

impl Default for SwitchConfig {
    /// As many as the ring of a NIC of QEMU.
    fn default() -> Self {
        Self { queue: const { NonZeroU16::new(256).unwrap() } }
    }
}

impl SwitchBackend {
    /// The name that it is chosen by.
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

    /// A promise; the tests of every backend see that it is kept. The host is on none of the nets, so it has no access.
    fn capabilities(&self, _: NetKind) -> Capabilities {
        let mut capabilities = Capabilities::joining(VmToVm::Switch, Self::MTU_MAX);
        capabilities.hotplug = true;
        capabilities
    }

    /// There is nothing that a host could lack, and no number that clusters would have to share: those are locked here.
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

/// What is remembered of a cluster, until it ends: a switch for each net.
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
/// How many addresses are remembered. A guest may make up as many as it likes; what is not remembered goes to everyone.
const ADDRESSES_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Switch(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    ports: BTreeMap<NodeId, Plugged>,
    /// Behind which port an address was last seen.
    learnt: HashMap<Mac, NodeId>,
}

/// A port with its two tasks: one hears what the node sends, the other one tells it what others sent. They end with it.
#[derive(Debug)]
struct Plugged {
    /// For whoever asks again. It owns QEMU's end of the pair, so that a QEMU may come and go.
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
    /// Plugs a node in, unless it is: then the answer is the same as before.
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

    /// Sends a frame where it belongs: to the port that its target is behind or, while nobody knows, to all but its sender.
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
                // No room: it is lost. Waiting would let one slow node stop all others.
                let _ = port.to_node.try_send(Arc::clone(&frame));
            }
        }
    }
}

/// How QEMU takes a port. The name between the signs stands for the number that the descriptor has where QEMU is started;
/// all NICs of a node are one QEMU's, so the net is in it.
fn args(port: &Port, descriptor: OwnedFd) -> KvmArgs {
    let name = format!("switch{}", port.net.id);
    let netdev = Netdev::new("socket", port).with("fd", format!("@{name}@"));
    KvmArgs::nic(&netdev, &Nic::virtio(port)).with_descriptor(name, descriptor)
}

/// Forwards what a node sends. It does not keep the switch alive, which holds this very task.
async fn hear(switch: Weak<Switch>, node: NodeId, socket: Arc<UnixDatagram>) {
    let mut frame = vec![0; FRAME_MAX];
    while let Ok(length) = socket.recv(&mut frame).await {
        let Some(switch) = switch.upgrade() else { return };
        switch.forward(node, &frame[..length]);
    }
}

/// Sends a node what waits for it, as fast as its QEMU takes it.
async fn tell(mut queued: mpsc::Receiver<Arc<[u8]>>, socket: Arc<UnixDatagram>) {
    while let Some(frame) = queued.recv().await {
        if socket.send(&frame).await.is_err() {
            return;
        }
    }
}

/// Target and source of a frame, if it is one.
fn addresses(frame: &[u8]) -> Option<(Mac, Mac)> {
    let (target, rest) = frame.split_first_chunk()?;
    Some((*target, *rest.first_chunk()?))
}

/// Whether an address is that of many: multicast and broadcast.
const fn is_group(address: Mac) -> bool {
    address[0] & 1 == 1
}

/// Nobody panics while holding one, and if somebody did the state would be as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
