//! The args for QEMU. Pure.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use xcluster_core::net::{KvmArgs, Netdev, Nic, Port};

/// A tap: one descriptor per queue pair, and one of vhost for each if the kernel moves the frames.
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
        // One interrupt vector for each queue, one for the control queue and one for changes of the configuration.
        nic = nic.with("mq", "on").with("vectors", 2 * queues.len() + 2);
    }
    let descriptors = taps.into_iter().zip(queues).chain(vhost_names.into_iter().zip(vhosts));
    descriptors.fold(KvmArgs::nic(&netdev, &nic), |args, (name, fd)| args.with_descriptor(name, Arc::clone(fd)))
}

/// QEMU separates descriptors by colons.
fn references(names: &[String]) -> String {
    names.iter().map(|name| format!("@{name}@")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use xcluster_core::name::{NetId, NodeId};
    use xcluster_core::net::Net;

    use super::*;

    fn check(queues: usize, vhosts: usize, mtu: u16, expected: &str) {
        let null = || Arc::new(OwnedFd::from(File::open("/dev/null").unwrap()));
        let some = |count| (0..count).map(|_| null()).collect::<Vec<_>>();
        let mut net = Net::new(NetId::new(1));
        net.mtu = mtu;
        let port = Port::new(NodeId::new(3).unwrap(), net, 1);
        let args = tap(&port, &some(queues), &some(vhosts));
        assert_eq!(args.to_string(), expected);
        assert_eq!(args.missing_descriptors(), [""; 0]);
        assert_eq!(args.descriptors().len(), queues + vhosts);
    }

    #[test]
    fn vhost_and_queues_are_passed_when_there_are_any() {
        check(
            1,
            0,
            1500,
            "-netdev tap,id=net1,fd=@tap1@ -device virtio-net-pci,netdev=net1,mac=00:00:00:01:01:03,romfile=",
        );
        check(
            1,
            1,
            9000,
            "-netdev tap,id=net1,fd=@tap1@,vhost=on,vhostfd=@vhost1@ \
             -device virtio-net-pci,netdev=net1,mac=00:00:00:01:01:03,romfile=,host_mtu=9000",
        );
        check(
            2,
            2,
            1500,
            "-netdev tap,id=net1,fds=@tap1.0@:@tap1.1@,vhost=on,vhostfds=@vhost1.0@:@vhost1.1@ \
             -device virtio-net-pci,netdev=net1,mac=00:00:00:01:01:03,romfile=,mq=on,vectors=6",
        );
    }
}
