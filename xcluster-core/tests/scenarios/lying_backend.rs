//! A backend that promises everything and keeps nothing. Every expectation of the scenarios fails on it, each for its own reason,
//! which proves that it can fail.

use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram as StdUnixDatagram;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::net::UnixDatagram;
use xcluster_core::net::{
    BackendContext, Capabilities, Forward, HostAccess, KvmArgs, Net, NetBackend, NetError, Netdev, Nic, Port,
    PortConfig, VmToVm,
};
use xcluster_core::topology::NetKind;

/// The lying backend. Its clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct LyingBackend {
    /// The ports of all nets and all clusters.
    ports: Arc<Mutex<Vec<End>>>,
    /// Ports that were torn down.
    torn: Arc<Mutex<Vec<Port>>>,
}

#[derive(Debug, Clone)]
struct End {
    group: u16,
    socket: Arc<UnixDatagram>,
}

impl LyingBackend {
    /// Ports of one group hear each other. The first three nets are one group; on the last net each port is alone.
    fn group(port: &Port) -> u16 {
        match port.net.id.number() {
            0..=2 => 0,
            23 => 100 + u16::from(port.nic) + port.node.number(),
            net => net.into(),
        }
    }

    fn plug(&self, port: &Port) -> std::io::Result<StdUnixDatagram> {
        let (ours, theirs) = StdUnixDatagram::pair()?;
        ours.set_nonblocking(true)?;
        let end = End { group: Self::group(port), socket: Arc::new(UnixDatagram::from_std(ours)?) };
        lock(&self.ports).push(end.clone());
        let lying_backend = self.clone();
        tokio::spawn(async move {
            let mut frame = vec![0; 128 * 1024];
            while let Ok(length @ 1..) = end.socket.recv(&mut frame).await {
                lying_backend.carry(&end, &mut frame[..length]);
            }
        });
        Ok(theirs)
    }

    fn carry(&self, from: &End, frame: &mut [u8]) {
        if is_lost(frame) {
            return;
        }
        change(frame);
        let ends = lock(&self.ports).clone();
        for end in ends.iter().filter(|end| end.group == from.group && !Arc::ptr_eq(&end.socket, &from.socket)) {
            // The other end may be closed, or its queue full.
            let _ = end.socket.try_send(frame);
        }
    }
}

/// Whether a frame is dropped: large pings, and IPv6 pings to net 2.
fn is_lost(frame: &[u8]) -> bool {
    let is_ping_v6 =
        frame.get(12..14) == Some(&[0x86, 0xdd]) && frame.get(20) == Some(&58) && frame.get(54) == Some(&128);
    let is_icmp = frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&1);
    (is_icmp || is_ping_v6) && frame.len() > 3000 || is_ping_v6 && frame.get(52) == Some(&2)
}

/// Swaps two 16-bit values of large TCP segments over IPv4, which no checksum notices.
fn change(frame: &mut [u8]) {
    if frame.len() > 1000 && frame.get(12..14) == Some(&[8, 0]) && frame.get(23) == Some(&6) {
        let (first, rest) = frame[200..].split_at_mut(2);
        first.swap_with_slice(&mut rest[..2]);
    }
}

#[async_trait]
impl NetBackend for LyingBackend {
    fn name(&self) -> &str {
        "liar"
    }

    fn capabilities(&self, _: NetKind) -> Capabilities {
        let mut capabilities = Capabilities::joining(VmToVm::Switch, 9000);
        capabilities.host_access = true;
        capabilities.offloads = true;
        capabilities
    }

    async fn preflight(&self, _: &BackendContext<'_>, _: &[Net], _: &[Port]) -> Result<(), NetError> {
        Ok(())
    }

    async fn create_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        Ok(())
    }

    async fn setup(&self, _: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        if lock(&self.torn).contains(port) {
            return Err(NetError::Refused("the port was torn down before".to_owned()));
        }
        let theirs = self.plug(port).map_err(|error| NetError::io("make a pair of sockets", error))?;
        let name = format!("liar{}", port.net.id);
        let nic = Nic::virtio(port).to_string();
        // The last NIC has a wrong address.
        let nic = if port.nic == 23 { nic.replace("mac=00:00:00:01:17", "mac=00:00:00:01:18") } else { nic };
        let args = ["-netdev".to_owned(), Netdev::new("socket", port).with("fd", format!("@{name}@")).to_string()];
        let args = args.into_iter().chain(["-device".to_owned(), nic]);
        let kvm = KvmArgs::from_args(args).with_descriptor(name, std::os::fd::OwnedFd::from(theirs));
        // No program listens on port 1.
        let host = SocketAddr::from(([127, 0, 0, 1], 1));
        let forwards = [22, 23, 7002].map(|port| Forward { port, host });
        Ok(PortConfig::new(kvm, HostAccess::Forwarded(forwards.into())))
    }

    async fn teardown(&self, _: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        lock(&self.torn).push(port.clone());
        Ok(())
    }

    async fn delete_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
