//! The args for QEMU. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use xcluster_core::addr::Addressing;
use xcluster_core::net::{Forward, KvmArgs, Net, Netdev, Nic, Port};

/// The last byte of the name server that QEMU offers. Its own choice, .3, would be a node's; nodes end at 240 and the
/// host is 250.
const DNS: u8 = 251;
/// The last byte of the first address that QEMU's DHCP server gives away: none that a node or the host has.
const DHCP: u8 = 241;

/// A port on the net that the host is on.
pub(crate) fn user(port: &Port, forwards: &[Forward]) -> KvmArgs {
    let net = &port.net;
    let (dns, dhcp) = (member(net, DNS), member(net, DHCP));
    let netdev = Netdev::new("user", port)
        .with("net", format_args!("{}/{}", net.ipv4(), Addressing::IPV4_LEN))
        .with("host", net.host_ipv4())
        .with("dns", dns)
        .with("dhcpstart", dhcp)
        .with("ipv6-prefix", net.ipv6())
        .with("ipv6-prefixlen", Addressing::IPV6_LEN)
        .with("ipv6-host", net.host_ipv6())
        .with("ipv6-dns", net.addressing.ipv6_prefix.embed(dns));
    let netdev = forwards.iter().fold(netdev, |netdev, forward| netdev.with("hostfwd", hostfwd(port, forward)));
    KvmArgs::nic(&netdev, &Nic::virtio(port))
}

/// A port on a net that is a multicast group, confined to loopback: without `localaddr` every frame would leave by the
/// host's default route, and a host without one could not start.
pub(crate) fn mcast(port: &Port, group: SocketAddrV4) -> KvmArgs {
    let netdev = Netdev::new("socket", port).with("mcast", group).with("localaddr", Ipv4Addr::LOCALHOST);
    KvmArgs::nic(&netdev, &Nic::virtio(port))
}

/// The node's address is spelled out: left out, it would be the first that DHCP gives away.
fn hostfwd(port: &Port, forward: &Forward) -> String {
    format!("tcp:{}-{}:{}", forward.host, IpAddr::V4(port.ipv4()), forward.port)
}

fn member(net: &Net, last: u8) -> Ipv4Addr {
    let [a, b, c, _] = net.ipv4().octets();
    Ipv4Addr::new(a, b, c, last)
}
