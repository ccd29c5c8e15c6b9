//! The words for QEMU. Pure.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use xcluster_core::net::{KvmArgs, Netdev, Nic, Port};

/// A tap: one descriptor per pair of queues, and as many of vhost if the kernel moves the frames.
pub(crate) fn tap(port: &Port, queues: &[Arc<OwnedFd>], vhosts: &[Arc<OwnedFd>]) -> KvmArgs {
    let names = |of: &str, count: usize| -> Vec<String> {
        let name = format!("{of}{}", port.net.id);
        if count == 1 { vec![name] } else { (0..count).map(|queue| format!("{name}.{queue}")).collect() }
    };
    let (taps, vhost_names) = (names("tap", queues.len()), names("vhost", vhosts.len()));
    let plural = if queues.len() == 1 { "" } else { "s" };
    let mut netdev = Netdev::new("tap", port).with(&format!("fd{plural}"), references(&taps));
    if !vhosts.is_empty() {
        netdev = netdev.with("vhost", "on").with(&format!("vhostfd{plural}"), references(&vhost_names));
    }
    let mut nic = Nic::virtio(port);
    if queues.len() > 1 {
        // A vector for each queue of a pair, one for the control queue and one for changes of the configuration.
        nic = nic.with("mq", "on").with("vectors", 2 * queues.len() + 2);
    }
    let descriptors = taps.into_iter().zip(queues).chain(vhost_names.into_iter().zip(vhosts));
    descriptors.fold(KvmArgs::nic(&netdev, &nic), |words, (name, fd)| words.with_descriptor(name, Arc::clone(fd)))
}

/// How QEMU takes several descriptors: between colons.
fn references(names: &[String]) -> String {
    names.iter().map(|name| format!("@{name}@")).collect::<Vec<_>>().join(":")
}
