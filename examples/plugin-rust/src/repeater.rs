//! Repeaters: one per net, with a thread that sends each frame of a node to all others. Knows nothing of QEMU.

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

/// The largest frame of Ethernet that any MTU leads to, in bytes.
const FRAME_MAX: usize = 65535 + 18;
/// How much a socket may hold, in bytes, as far as the host lets us.
const QUEUE: usize = 1 << 20;

/// The repeaters of a cluster. They end when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Repeaters(Mutex<BTreeMap<NetId, Arc<Repeater>>>);

/// The repeater of a net.
#[derive(Debug)]
pub(crate) struct Repeater {
    ports: Arc<Mutex<Ports>>,
    /// A byte in here has the thread look at its ports anew.
    news: UnixDatagram,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Ports {
    /// Our ends and QEMU's. The latter stay, so that a port that is asked for again is the same.
    sockets: BTreeMap<NodeId, (Arc<UnixDatagram>, Arc<OwnedFd>)>,
    ended: bool,
}

impl Repeaters {
    /// Begins a net, unless it is there.
    pub(crate) fn begin(&self, net: NetId) -> io::Result<()> {
        if let Entry::Vacant(vacant) = lock(&self.0).entry(net) {
            vacant.insert(Arc::new(Repeater::start()?));
        }
        Ok(())
    }

    pub(crate) fn find(&self, net: NetId) -> Option<Arc<Repeater>> {
        lock(&self.0).get(&net).map(Arc::clone)
    }

    /// Ends a net.
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
        // Its thread looks at everything whenever it hears of anything.
        let _ = self.news.send(&[0]);
    }
}

impl Drop for Repeater {
    fn drop(&mut self) {
        lock(&self.ports).ended = true;
        self.tell();
        if let Some(thread) = lock(&self.thread).take() {
            // It has no panic that anybody could do something about.
            let _ = thread.join();
        }
    }
}

/// All of a repeater's thread.
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
                // A guest that does not read loses it, as it would on a wire.
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
