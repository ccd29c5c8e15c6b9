//! The meaning of the kernel's errors for bridges and taps: the error of the backend API, and the command that helps.

use std::io;

use nix::errno::Errno;
use xcluster_core::host::{HostLockError, Netns};
use xcluster_core::net::{Net, NetError};

use crate::config::{BridgeConfig, MTU_MAX};
use xcluster_core::netlink::NetlinkError;

/// Why a bridge could not be made.
pub(crate) fn no_bridge(failure: NetlinkError, name: &str, netns: &Netns) -> NetError {
    match failure.raw_os_error().map(Errno::from_raw) {
        // The kernel could not find the module, or was built without it.
        Some(Errno::EOPNOTSUPP | Errno::ENOPKG) => NetError::Unsupported {
            what: "this kernel has no bridges".to_owned(),
            remedy: Some("sudo modprobe bridge".to_owned()),
        },
        Some(Errno::EEXIST) => NetError::Conflict { object: name.to_owned() },
        _ => refused(failure, netns),
    }
}

/// Why a link could not be changed.
pub(crate) fn refused(failure: NetlinkError, netns: &Netns) -> NetError {
    match failure.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM) => no_privilege(netns),
        _ => failure.into(),
    }
}

/// Why a descriptor of `/dev/net/tun` did not become a tap. A taken name was handled before.
pub(crate) fn no_tap(source: io::Error, name: &str, netns: &Netns) -> NetError {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM) => no_privilege(netns),
        _ => NetError::io(format!("make tap `{name}`"), source),
    }
}

fn no_privilege(netns: &Netns) -> NetError {
    let (what, remedy) = match netns {
        Netns::Here => ("the network namespace that we are in may only be changed by root (CAP_NET_ADMIN)", true),
        Netns::Named(_) => ("the network namespace may not be changed by this user", true),
        Netns::Private => ("links may not be made here, not even in a network namespace of one's own", false),
    };
    NetError::Unsupported { what: what.to_owned(), remedy: remedy.then(|| "sudo xcluster nsadd 1".to_owned()) }
}

/// Why the kernel cannot move frames.
pub(crate) fn no_vhost(source: &io::Error) -> NetError {
    let remedy = match source.kind() {
        io::ErrorKind::PermissionDenied => "sudo chmod 0666 /dev/vhost-net",
        _ => "sudo modprobe vhost_net",
    };
    NetError::Unsupported { what: format!("cannot open `/dev/vhost-net`: {source}"), remedy: Some(remedy.to_owned()) }
}

/// Why this cluster may not use a bridge.
pub(crate) fn not_locked(error: HostLockError) -> NetError {
    match error {
        HostLockError::Taken { what, holder } => {
            NetError::InUse { what: what.replacen("bridge/", "bridge ", 1), by: format!("the cluster of {holder}") }
        }
        other => NetError::Other { message: "cannot lock the bridges".to_owned(), source: Some(Box::new(other)) },
    }
}

/// Everything that cannot be carried on any host; `None` if all of it can.
pub(crate) fn refusal(config: &BridgeConfig, nets: &[Net]) -> Option<NetError> {
    let mut problems: Vec<String> =
        config.check().err().iter().flatten().map(|problem| problem.message.clone()).collect();
    for net in nets.iter().filter(|net| net.mtu > MTU_MAX) {
        problems.push(format!("net {} has an MTU of {}, and taps carry {}", net.id, net.mtu, MTU_MAX));
    }
    (!problems.is_empty()).then(|| NetError::Refused(problems.join("; ")))
}

/// The error of a call that comes before another one that it needs.
pub(crate) fn too_early(what: &str) -> NetError {
    NetError::Other { message: format!("{what} was called too early"), source: None }
}

#[cfg(test)]
mod tests {
    use xcluster_core::name::NetId;

    use super::*;

    fn failure(errno: Errno) -> NetlinkError {
        NetlinkError::new("make bridge `xcbr1`", errno.into())
    }

    fn check(error: &NetError, text: &str, remedy: Option<&str>) {
        assert_eq!((error.to_string().as_str(), error.remedy()), (text, remedy));
    }

    #[test]
    fn what_the_kernel_lacks_is_reported_with_the_command_that_helps() {
        let here = Netns::Here;
        let none = no_bridge(failure(Errno::EOPNOTSUPP), "xcbr1", &here);
        check(&none, "this kernel has no bridges", Some("sudo modprobe bridge"));
        let remedy = Some("sudo xcluster nsadd 1");
        let text = "the network namespace that we are in may only be changed by root (CAP_NET_ADMIN)";
        check(&no_bridge(failure(Errno::EPERM), "xcbr1", &here), text, remedy);
        check(&no_tap(Errno::EPERM.into(), "xcbr1_t1", &here), text, remedy);
        let denied = no_vhost(&Errno::EACCES.into());
        let text = "cannot open `/dev/vhost-net`: Permission denied (os error 13)";
        check(&denied, text, Some("sudo chmod 0666 /dev/vhost-net"));
        assert_eq!(no_vhost(&Errno::ENOENT.into()).remedy(), Some("sudo modprobe vhost_net"));
    }

    #[test]
    fn other_errors_say_what_was_attempted() {
        let error = no_bridge(failure(Errno::ENFILE), "xcbr1", &Netns::Private);
        check(&error, "cannot make bridge `xcbr1`", None);
        check(&no_tap(Errno::ENODEV.into(), "xcbr1_t1", &Netns::Private), "cannot make tap `xcbr1_t1`", None);
        let conflict = no_bridge(failure(Errno::EEXIST), "xcbr1", &Netns::Private);
        check(&conflict, "`xcbr1` is there already and is not ours", None);
    }

    #[test]
    fn everything_that_cannot_be_carried_is_reported_at_once() {
        let mut net = Net::new(NetId::new(3));
        net.mtu = u16::MAX;
        let error = refusal(&BridgeConfig::default().with_queues(0), &[net]).unwrap();
        let text = "a NIC has 1 to 16 pairs of queues, not 0; net 3 has an MTU of 65535, and taps carry 65521";
        assert_eq!(error.to_string(), text);
        assert!(refusal(&BridgeConfig::default(), &[Net::new(NetId::new(3))]).is_none());
    }
}
