//! The args for QEMU. Pure.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use xcluster_core::net::{KvmArgs, Netdev, Nic, Port};

/// A tap by its descriptor.
pub(crate) fn tap(port: &Port, tap: &Arc<OwnedFd>) -> KvmArgs {
    let name = format!("tap{}", port.net.id);
    let netdev = Netdev::new("tap", port).with("fd", format!("@{name}@"));
    KvmArgs::nic(&netdev, &Nic::virtio(port)).with_descriptor(name, Arc::clone(tap))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use xcluster_core::name::{NetId, NodeId};
    use xcluster_core::net::Net;

    use super::*;

    #[test]
    fn a_tap_is_a_descriptor() {
        let null = Arc::new(OwnedFd::from(File::open("/dev/null").unwrap()));
        let args = tap(&Port::new(NodeId::new(3).unwrap(), Net::new(NetId::new(1)), 1), &null);
        assert_eq!(
            args.to_string(),
            "-netdev tap,id=net1,fd=@tap1@ -device virtio-net-pci,netdev=net1,mac=00:00:00:01:01:03,romfile="
        );
        assert_eq!(args.missing_descriptors(), [""; 0]);
    }
}
