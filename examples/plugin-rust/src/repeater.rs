//! Repeaters: one per net, with a thread that sends each frame of a node to all others.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{setsockopt, sockopt};
use xcluster_core::name::{NetId, NodeId};

/// The largest Ethernet frame of any MTU, in bytes.
const FRAME_MAX: usize = 65535 + 18;
/// The requested buffer size of a socket in bytes; the host may allow less.
const QUEUE: usize = 1 << 20;

/// The repeaters of a cluster. They end when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Repeaters(Mutex<BTreeMap<NetId, Arc<Repeater>>>);

/// The repeater of a net.
#[derive(Debug)]
pub(crate) struct Repeater {
    ports: Arc<Mutex<Ports>>,
    /// A byte in here makes the thread read its ports again.
    news: UnixDatagram,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Ports {
    /// Our ends, and those for QEMU, which are kept so that a repeated setup answers the same.
    sockets: BTreeMap<NodeId, (Arc<UnixDatagram>, Arc<OwnedFd>)>,
    ended: bool,
}

impl Repeaters {
    /// Starts the repeater of a net, unless it runs.
    pub(crate) fn begin(&self, net: NetId) -> io::Result<()> {
        if let Entry::Vacant(vacant) = lock(&self.0).entry(net) {
            vacant.insert(Arc::new(Repeater::start()?));
        }
        Ok(())
    }

    pub(crate) fn find(&self, net: NetId) -> Option<Arc<Repeater>> {
        lock(&self.0).get(&net).map(Arc::clone)
    }

    /// Ends the repeater of a net.
    pub(crate) fn end(&self, net: NetId) {
        lock(&self.0).remove(&net);
    }
}

impl Repeater {
    fn start() -> io::Result<Self> {
        let (news, wakeup) = UnixDatagram::pair()?;
        let ports = Arc::<Mutex<Ports>>::default();
        let shared = Arc::clone(&ports);
        let thread = thread::Builder::new().name("repeater".to_owned()).spawn(move || repeat(&shared, &wakeup))?;
        Ok(Self { ports, news, thread: Mutex::new(Some(thread)) })
    }

    /// QEMU's end of a node's socket pair.
    pub(crate) fn plug(&self, node: NodeId) -> io::Result<Arc<OwnedFd>> {
        let mut ports = lock(&self.ports);
        if let Some((_, qemus)) = ports.sockets.get(&node) {
            return Ok(Arc::clone(qemus));
        }
        let (ours, qemus) = UnixDatagram::pair()?;
        for end in [&ours, &qemus] {
            setsockopt(end, sockopt::SndBuf, &QUEUE)?;
        }
        ours.set_nonblocking(true)?;
        let qemus = Arc::new(OwnedFd::from(qemus));
        ports.sockets.insert(node, (Arc::new(ours), Arc::clone(&qemus)));
        drop(ports);
        self.tell();
        Ok(qemus)
    }

    pub(crate) fn unplug(&self, node: NodeId) {
        lock(&self.ports).sockets.remove(&node);
        self.tell();
    }

    fn tell(&self) {
        // The thread checks everything at each event.
        let _ = self.news.send(&[0]);
    }
}

impl Drop for Repeater {
    fn drop(&mut self) {
        lock(&self.ports).ended = true;
        self.tell();
        if let Some(thread) = lock(&self.thread).take() {
            // A panic of the thread cannot be handled here.
            let _ = thread.join();
        }
    }
}

/// The code of a repeater's thread.
fn repeat(ports: &Mutex<Ports>, wakeup: &UnixDatagram) {
    let mut frame = vec![0; FRAME_MAX];
    loop {
        let sockets: Vec<(NodeId, Arc<UnixDatagram>)> = {
            let ports = lock(ports);
            if ports.ended {
                return;
            }
            ports.sockets.iter().map(|(node, (ours, _))| (*node, Arc::clone(ours))).collect()
        };
        let mut waited: Vec<PollFd<'_>> = sockets.iter().map(|(_, socket)| readable(socket)).collect();
        waited.push(readable(wakeup));
        if poll(&mut waited, PollTimeout::NONE).is_err() {
            continue;
        }
        let ready: Vec<bool> = waited.iter().map(|polled| polled.any().unwrap_or(false)).collect();
        if ready.last() == Some(&true) {
            let _ = wakeup.recv(&mut frame);
        }
        for ((from, socket), _) in sockets.iter().zip(&ready).filter(|(_, ready)| **ready) {
            if let Ok(length) = socket.recv(&mut frame) {
                let others = sockets.iter().filter(|(node, _)| node != from);
                // A frame for a guest that does not read is lost, as on a cable.
                others.for_each(|(_, other)| drop(other.send(&frame[..length])));
            }
        }
    }
}

fn readable(socket: &UnixDatagram) -> PollFd<'_> {
    PollFd::new(socket.as_fd(), PollFlags::POLLIN)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
