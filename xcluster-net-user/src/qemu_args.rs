//! The args for QEMU. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};

use xcluster_core::addr::Addressing;
use xcluster_core::net::{Forward, KvmArgs, Net, Netdev, Nic, Port};

/// The last byte of the name server that QEMU offers. QEMU's default, .3, is a node's address; nodes end at 240, and the host
/// is 250.
const DNS: u8 = 251;
/// The last byte of the first address of QEMU's DHCP server: no node and not the host has it.
const DHCP: u8 = 241;

/// A port on the internal net, which the host is on.
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

/// A port on a net that is a multicast group on the loopback. Without `localaddr`, every frame would leave by the host's
/// default route, and QEMU would not start on a host without one.
pub(crate) fn mcast(port: &Port, group: SocketAddrV4) -> KvmArgs {
    let netdev = Netdev::new("socket", port).with("mcast", group).with("localaddr", Ipv4Addr::LOCALHOST);
    KvmArgs::nic(&netdev, &Nic::virtio(port))
}

/// The node's address is given: by default QEMU uses the first address of DHCP.
fn hostfwd(port: &Port, forward: &Forward) -> String {
    format!("tcp:{}-{}:{}", forward.host, IpAddr::V4(port.ipv4()), forward.port)
}

fn member(net: &Net, last: u8) -> Ipv4Addr {
    let [a, b, c, _] = net.ipv4().octets();
    Ipv4Addr::new(a, b, c, last)
}
