//! Nets with tunnels to other hosts. The hosts are network namespaces with veth pairs between them: this one, where the test
//! is, and others.

mod fixture;

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use xcluster_core::host::namespace::NamedNetns;
use xcluster_core::host::{Namespace, Netns};
use xcluster_core::name::NetId;
use xcluster_core::net::{HostAccess, NetError};
use xcluster_core::netlink::Netlink;
use xcluster_core::netlink::address::Address;
use xcluster_core::netlink::link::{LinkChange, LinkSelector};
use xcluster_core::testing::traffic::{ECHO, Frames, Guest, Protocol, Traffic};
use xcluster_core::testing::{TestContext, TestFailure, ensure};
use xcluster_net_ovs::{OvsConfig, OvsNet, Tunnel, TunnelKind};

use fixture::{EVERYONE, Fixture, Tap, check_links, frame};

xcluster_core::harness![
    vxlan_carries_what_was_sent,
    vxlan_over_ipv6_carries_what_was_sent,
    a_vlan_is_the_same_on_both_hosts,
    nothing_is_left_of_a_tunnel,
    frames_do_not_circle_between_three_connected_hosts,
    an_unreachable_host_is_reported_before_anything_is_made,
    a_number_that_another_link_has_is_in_use,
    a_kernel_without_geneve_says_so_and_keeps_nothing,
];

/// The MTU between the hosts.
const WIRE: u16 = 1500;
/// Headers of UDP over IPv4 and over IPv6.
const HEADERS: [usize; 2] = [20 + 8, 40 + 8];

/// A veth pair from this namespace to another one, which plays the host with that number.
struct RemoteHost {
    namespace: Namespace,
}

impl RemoteHost {
    async fn new(number: u8) -> Result<Self, TestFailure> {
        let namespace = Namespace::private()?;
        let (here, there) = (Netlink::connect(&Namespace::here())?, Netlink::connect(&namespace)?);
        let (_, descriptor) = namespace.descriptors().ok_or_else(|| TestFailure::new("it has no descriptor"))?;
        let link = format!("wire{number}");
        here.make_veth(&link, "wire", descriptor).await?;
        raise(&here, &link, number, 1).await?;
        raise(&there, "wire", number, 2).await?;
        Ok(Self { namespace })
    }

    /// A cluster on that host.
    fn fixture(&self, name: &str, config: OvsConfig, nodes: &[u16]) -> Result<Fixture, TestFailure> {
        let (user, net) = self.namespace.descriptors().ok_or_else(|| TestFailure::new("it has no descriptor"))?;
        let file = |number: i32| PathBuf::from(format!("/proc/self/fd/{number}"));
        let user = user.map(|user| file(user.as_raw_fd()));
        let wanted = Netns::Named(NamedNetns::new("far")?);
        let same = Namespace::from_files(wanted, user.as_deref(), &file(net.as_raw_fd()))?;
        Fixture::on(TestContext::new(name)?.in_namespace(same), config, nodes)
    }
}

/// The addresses of both ends of the pair to a host: first this one's, then the other's.
fn ends(number: u8, end: u8) -> [IpAddr; 2] {
    [format!("10.9.{number}.{end}"), format!("fd09:{number}::{end}")].map(|ip| ip.parse().expect("it is an address"))
}

async fn raise(netlink: &Netlink, link: &str, number: u8, end: u8) -> Result<(), TestFailure> {
    let index = netlink.link(link).await?.ok_or_else(|| TestFailure::new("there is no wire"))?.index;
    let change = LinkChange { mtu: Some(WIRE), up: Some(true), ..LinkChange::default() };
    netlink.change(LinkSelector::Index(index), &change).await?;
    for (ip, prefix) in ends(number, end).into_iter().zip([24, 64]) {
        netlink.add_address(index, Address { ip, prefix }).await?;
    }
    Ok(())
}

fn to(kind: TunnelKind, remote: IpAddr) -> OvsConfig {
    OvsConfig::default().with_net(NetId::CLUSTER, OvsNet::default().with_tunnel(Tunnel::new(kind, remote)))
}

/// Bytes that do not repeat where a buffer begins again.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| ((index % 251) ^ (index / 251 % 256)) as u8).collect()
}

async fn compare(guest: &mut dyn Guest, protocol: Protocol, to: SocketAddr, length: usize) -> Result<(), TestFailure> {
    let question = pattern(length);
    let answer = guest.ask(protocol, to, &question).await;
    let answer = answer.map_err(|failed| failed.during(format!("{length} bytes by {protocol} to {to}")))?;
    ensure(answer == question, || format!("of {length} bytes by {protocol} to {to} {} came back", answer.len()))
}

/// Megabytes, and datagrams that fill the MTU, between a node on each host.
async fn carries(kind: TunnelKind, version: usize, mtu: u16) -> Result<(), TestFailure> {
    let far = RemoteHost::new(1).await?;
    let near = Fixture::here("near", to(kind, ends(1, 2)[version]), &[1])?.with_mtu(mtu);
    let other = far.fixture("far", to(kind, ends(1, 1)[version]), &[2])?.with_mtu(mtu);
    let (port_configs, there) = (near.begin().await?, other.begin().await?);
    ensure(port_configs[0].access == HostAccess::None, || format!("{:?}", port_configs[0].access))?;
    let traffic = Frames::default();
    let mut guest = traffic.guest(&port_configs[0], &near.ports[0]).await?;
    let peer = traffic.guest(&there[0], &other.ports[0]).await?;
    let addresses: [IpAddr; 2] = [other.ports[0].ipv4().into(), other.ports[0].ipv6().into()];
    for (ip, headers) in addresses.into_iter().zip(HEADERS) {
        let at = SocketAddr::new(ip, ECHO);
        compare(&mut *guest, Protocol::Udp, at, 64).await?;
        compare(&mut *guest, Protocol::Udp, at, usize::from(mtu) - headers).await?;
        compare(&mut *guest, Protocol::Tcp, at, 1_500_001).await?;
    }
    drop((guest, peer));
    near.end().await?;
    Ok(other.end().await?)
}

async fn vxlan_carries_what_was_sent() -> Result<(), TestFailure> {
    carries(TunnelKind::Vxlan, 0, WIRE - 50).await
}

async fn vxlan_over_ipv6_carries_what_was_sent() -> Result<(), TestFailure> {
    carries(TunnelKind::Vxlan, 1, WIRE - 70).await
}

async fn a_vlan_is_the_same_on_both_hosts() -> Result<(), TestFailure> {
    let far = RemoteHost::new(1).await?;
    let tagged = |end: u8, tag: u16| {
        let tunnel = Tunnel::new(TunnelKind::Vxlan, ends(1, end)[0]);
        OvsConfig::default().with_net(NetId::CLUSTER, OvsNet::default().with_tag(tag).with_tunnel(tunnel))
    };
    let near = Fixture::here("near", tagged(2, 10), &[1])?.with_mtu(WIRE - 54);
    let other = far.fixture("far", tagged(1, 10), &[2])?.with_mtu(WIRE - 54);
    let (taps, there) = (near.taps().await?, other.taps().await?);
    let mut whole = frame(1, EVERYONE, None, 1);
    whole.resize(usize::from(WIRE) - 54 + 14, 1);
    sent_until_heard(&taps[0], &there[0], &whole)?;
    near.end().await?;
    other.end().await?;
    Ok(())
}

/// A new veth pair may lose the first frames.
fn sent_until_heard(from: &Tap, at: &Tap, frame: &[u8]) -> Result<(), TestFailure> {
    for _ in 0..20 {
        from.send(frame)?;
        if !at.is_silent()? {
            return Ok(());
        }
    }
    Err(TestFailure::new("it is not heard"))
}

async fn nothing_is_left_of_a_tunnel() -> Result<(), TestFailure> {
    let _far = RemoteHost::new(1).await?;
    let near = Fixture::here("near", to(TunnelKind::Vxlan, ends(1, 2)[0]), &[1])?.with_mtu(1450);
    near.begin().await?;
    let expected = ["lo", "ovs-netdev", "wire1", "xcbr1", "xcbr1_t1", "xcbr1_v0"];
    check_links(&Namespace::here(), &expected).await?;
    near.end().await?;
    check_links(&Namespace::here(), &["lo", "wire1"]).await
}

/// The host in the middle does not forward frames between the others, which have a tunnel to each other. So each frame is
/// heard once, and none circles.
async fn frames_do_not_circle_between_three_connected_hosts() -> Result<(), TestFailure> {
    let (second, third) = (RemoteHost::new(1).await?, RemoteHost::new(2).await?);
    let both = OvsNet::default()
        .with_tunnel(Tunnel::new(TunnelKind::Vxlan, ends(1, 2)[0]))
        .with_tunnel(Tunnel::new(TunnelKind::Vxlan, ends(2, 2)[0]));
    let near = Fixture::here("near", OvsConfig::default().with_net(NetId::CLUSTER, both), &[1])?.with_mtu(1450);
    let left = second.fixture("left", to(TunnelKind::Vxlan, ends(1, 1)[0]), &[2])?.with_mtu(1450);
    let right = third.fixture("right", to(TunnelKind::Vxlan, ends(2, 1)[0]), &[3])?.with_mtu(1450);
    let (near_taps, left_taps, right_taps) = (near.taps().await?, left.taps().await?, right.taps().await?);
    sent_until_heard(&left_taps[0], &near_taps[0], &frame(2, EVERYONE, None, 1))?;
    ensure(right_taps[0].is_silent()?, || "it was handed on".to_owned())?;
    sent_until_heard(&near_taps[0], &right_taps[0], &frame(1, EVERYONE, None, 2))?;
    for fixture in [near, left, right] {
        fixture.end().await?;
    }
    Ok(())
}

/// The error of a preflight, which leaves nothing.
async fn refusal(fixture: &Fixture) -> Result<String, TestFailure> {
    match fixture.preflight().await {
        Err(NetError::Refused(text)) => Ok(text),
        other => Err(TestFailure::new(format!("it is not refused: {other:?}"))),
    }
}

async fn check(fixture: &Fixture, expected: &str) -> Result<(), TestFailure> {
    let text = refusal(fixture).await?;
    ensure(text == format!("backend.ovs.net.1.tunnel.0: {expected}"), || text.clone())
}

async fn an_unreachable_host_is_reported_before_anything_is_made() -> Result<(), TestFailure> {
    let _far = RemoteHost::new(1).await?;
    let vxlan = |remote: &str| to(TunnelKind::Vxlan, remote.parse().expect("it is an address"));
    let here = |remote: &str| Fixture::here("lost", vxlan(remote), &[1]);
    check(&here("10.77.0.1")?, "the network namespace has no route to 10.77.0.1").await?;
    check(&here("10.9.1.1")?, "10.9.1.1 is this host itself").await?;
    let text = "net 1 has an MTU of 1500, and with 50 bytes around it that does not fit into the 1500 of `wire1`: give \
                the net an MTU of 1450";
    check(&here("10.9.1.2")?, text).await?;
    let from = Tunnel::new(TunnelKind::Vxlan, ends(1, 2)[0]).from_local("10.9.1.7".parse()?);
    let from = OvsConfig::default().with_net(NetId::CLUSTER, OvsNet::default().with_tunnel(from));
    check(&Fixture::here("lost", from, &[1])?.with_mtu(1450), "10.9.1.7 is no address of this host").await?;
    let text = "no packet for 10.9.1.2 leaves the private network namespace of the cluster; take one that `xcluster \
                nsadd` made, or `--netns here`";
    check(&Fixture::private("lost", vxlan("10.9.1.2"), &[1])?, text).await?;
    check_links(&Namespace::here(), &["lo", "wire1"]).await
}

async fn a_number_that_another_link_has_is_in_use() -> Result<(), TestFailure> {
    let _far = RemoteHost::new(1).await?;
    let netlink = Netlink::connect(&Namespace::here())?;
    let own = xcluster_core::netlink::tunnel::NewTunnel {
        name: "mine",
        group: 0,
        wrapping: xcluster_core::netlink::tunnel::Encapsulation::Vxlan,
        vni: 1,
        remote: ends(1, 2)[0],
        local: None,
        port: 4789,
    };
    netlink.make_tunnel(&own).await?;
    let fixture = Fixture::here("second", to(TunnelKind::Vxlan, ends(1, 2)[0]), &[1])?.with_mtu(1450);
    let said = fixture.begin().await.err().map(|error| error.to_string()).unwrap_or_default();
    let expected = "VXLAN with VNI 1 is in use by another link of the network namespace";
    ensure(said == expected, || said.clone())?;
    fixture.end().await?;
    check_links(&Namespace::here(), &["lo", "mine", "wire1"]).await
}

/// A kernel with Geneve carries frames as with VXLAN.
async fn a_kernel_without_geneve_says_so_and_keeps_nothing() -> Result<(), TestFailure> {
    let far = RemoteHost::new(1).await?;
    let fixture = Fixture::here("near", to(TunnelKind::Geneve, ends(1, 2)[0]), &[1])?.with_mtu(1450);
    let begun = fixture.begin().await;
    fixture.end().await?;
    check_links(&Namespace::here(), &["lo", "wire1"]).await?;
    drop(far);
    match begun {
        Ok(_) => carries(TunnelKind::Geneve, 0, WIRE - 50).await,
        Err(error) => {
            let said = (error.to_string(), error.remedy().map(str::to_owned));
            let expected = ("this kernel has no Geneve".to_owned(), Some("sudo modprobe geneve".to_owned()));
            ensure(said == expected, || format!("{said:?}"))
        }
    }
}
