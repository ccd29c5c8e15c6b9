//! Interprets the args of a script: the way from the host to the node, and parts that must not reach QEMU. Pure.

use std::net::{Ipv4Addr, SocketAddr};

use crate::net::{Forward, HostAccess, KvmArgs, Port, QemuNetns};

/// A program that scripts make QEMU run at its end, to remove the tap. Any user could put a program there.
const PLANTED: &str = "downscript=/tmp/rmtap";
/// The same property for no program.
const NONE: &str = "downscript=no";

/// The tap that a script may make for a port, named as in the original xcluster.
pub(super) fn tap(port: &Port) -> String {
    format!("xcbr{}_t{}", port.net.id.number(), port.node.number())
}

/// Splits args as a shell does by default.
pub(super) fn split(text: &str) -> Vec<String> {
    text.split([' ', '\t', '\n']).filter(|arg| !arg.is_empty()).map(str::to_owned).collect()
}

/// Removes the program that any user could have put there.
pub(super) fn without_hooks(arg: &str) -> String {
    let property = |property| if property == PLANTED { NONE } else { property };
    arg.split(',').map(property).collect::<Vec<_>>().join(",")
}

/// The way from the host to the node, as the args show it.
pub(super) fn access(kvm: &KvmArgs, port: &Port) -> HostAccess {
    let inside = matches!(kvm.qemu_netns(), QemuNetns::Inside(_));
    let of = |kind: &str, netdev: &str| netdev.split(',').next() == Some(kind);
    let users = kvm.netdevs().filter(|netdev| of("user", netdev));
    let forwards: Vec<Forward> = users.flat_map(|netdev| netdev.split(',')).filter_map(forward).collect();
    let tap = kvm.netdevs().any(|netdev| of("tap", netdev));
    match (forwards.is_empty(), tap, inside) {
        (false, _, false) => HostAccess::Forwarded(forwards),
        (false, _, true) => HostAccess::ForwardedInside(forwards),
        (true, true, false) => HostAccess::Direct(port.ipv4().into()),
        (true, true, true) => HostAccess::Inside(port.ipv4().into()),
        (true, false, _) => HostAccess::None,
    }
}

/// `hostfwd=tcp:ADDRESS:PORT-GUEST:PORT`. Addresses may be omitted, and so may `tcp`.
fn forward(property: &str) -> Option<Forward> {
    let (protocol, rest) = property.strip_prefix("hostfwd=")?.split_once(':')?;
    if !matches!(protocol, "" | "tcp") {
        return None;
    }
    let (host, guest) = rest.split_once('-')?;
    let (address, number) = host.rsplit_once(':')?;
    let address = if address.is_empty() { Ipv4Addr::UNSPECIFIED } else { address.parse().ok()? };
    // A listener on all addresses is reached on this one.
    let address = if address.is_unspecified() { Ipv4Addr::LOCALHOST } else { address };
    let port = guest.rsplit_once(':')?.1.parse().ok()?;
    Some(Forward { port, host: SocketAddr::from((address, number.parse().ok()?)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{NetId, NodeId};
    use crate::net::Net;

    fn port() -> Port {
        Port::new(NodeId::new(3).unwrap(), Net::new(NetId::CLUSTER), 1)
    }

    fn check(netdev: &str, expected: HostAccess) {
        assert_eq!(access(&KvmArgs::from_args(["-netdev", netdev]), &port()), expected, "{netdev}");
    }

    #[test]
    fn how_the_host_reaches_a_node_is_read_from_the_args() {
        let telnet = |host: &str| HostAccess::Forwarded(vec![Forward { port: 23, host: host.parse().unwrap() }]);
        check("user,id=net0,hostfwd=tcp:127.0.0.1:12003-192.168.0.3:23", telnet("127.0.0.1:12003"));
        check("user,id=net0,hostfwd=tcp::12003-:23", telnet("127.0.0.1:12003"));
        check("user,id=net0,hostfwd=:0.0.0.0:12003-:23,restrict=off", telnet("127.0.0.1:12003"));
        check("user,id=net0,hostfwd=udp::12003-:53,hostfwd=nonsense,hostfwd=tcp:x:1-:2", HostAccess::None);
        check("user,id=net0", HostAccess::None);
        check("tap,id=net1,ifname=xcbr1_t3", HostAccess::Direct("192.168.1.3".parse().unwrap()));
        check("socket,id=net1,mcast=224.0.0.121:27030", HostAccess::None);
    }

    #[test]
    fn a_program_that_anybody_could_plant_is_not_run() {
        let arg = "tap,id=net1,script=/etc/up,downscript=/tmp/rmtap,x=a,,b";
        assert_eq!(without_hooks(arg), "tap,id=net1,script=/etc/up,downscript=no,x=a,,b");
        for other in ["downscript=/home/me/rmtap", "-downscript=/tmp/rmtap", "downscript=/tmp/rmtap2"] {
            assert_eq!(without_hooks(other), other);
        }
    }

    #[test]
    fn args_are_split_and_quotes_are_not_understood() {
        assert_eq!(split(" -a 'b\tc'\n\n -d\\ e"), ["-a", "'b", "c'", "-d\\", "e"]);
    }

    #[test]
    fn a_tap_has_the_name_of_its_port() {
        assert_eq!(tap(&port()), "xcbr1_t3");
    }
}
