//! The args for QEMU, exactly. Their numbers are those of the original xcluster.

use xcluster_core::addr::Addressing;
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{HostAccess, Net, NetBackend, Port};
use xcluster_core::testing::{TestContext, TestFailure, ensure};
use xcluster_net_user::UserBackend;

xcluster_core::harness![
    the_first_cluster_has_the_documented_args,
    another_ipv6_prefix_is_used_throughout,
    without_logins_nothing_is_forwarded,
    forwards_are_reported,
];

/// The args of these ports, one port per line, and their host access.
async fn args(ports: Vec<Port>) -> Result<(Vec<String>, Vec<HostAccess>), TestFailure> {
    let (test_context, backend) = (TestContext::new("words")?, UserBackend::default());
    let nets: Vec<Net> = ports.iter().map(|port| port.net.clone()).collect();
    backend.preflight(&test_context.context(), &nets, &ports).await?;
    let (mut args, mut access) = (Vec::new(), Vec::new());
    for port in &ports {
        let port_config = backend.setup(&test_context.context(), port).await?;
        args.push(port_config.kvm.to_string());
        access.push(port_config.access);
    }
    Ok((args, access))
}

fn port(node: u16, net: Net, expose: &[u16]) -> Result<Port, TestFailure> {
    let nic = net.id.number();
    Ok(Port::new(NodeId::new(node)?, net, nic).exposing(expose))
}

fn check(actual: &[String], expected: &str) -> Result<(), TestFailure> {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    ensure(actual == expected, || format!("expected\n{}\nand got\n{}", expected.join("\n"), actual.join("\n")))
}

async fn the_first_cluster_has_the_documented_args() -> Result<(), TestFailure> {
    let mut ports = Vec::new();
    for (node, expose) in [(1, &[23, 22, 8080, 6443][..]), (3, &[23, 22]), (201, &[23, 22])] {
        for net in 0..=2 {
            let expose = if net == 0 { expose } else { &[] };
            ports.push(port(node, Net::new(NetId::new(net)), expose)?);
        }
    }
    check(&args(ports).await?.0, "
        -netdev user,id=net0,net=192.168.0.0/24,host=192.168.0.250,dns=192.168.0.251,dhcpstart=192.168.0.241,ipv6-prefix=1000::1:c0a8:0,ipv6-prefixlen=120,ipv6-host=1000::1:c0a8:fa,ipv6-dns=1000::1:c0a8:fb,hostfwd=tcp:127.0.0.1:12001-192.168.0.1:23,hostfwd=tcp:127.0.0.1:12301-192.168.0.1:22,hostfwd=tcp:127.0.0.1:18080-192.168.0.1:8080,hostfwd=tcp:127.0.0.1:7443-192.168.0.1:6443 -device virtio-net-pci,netdev=net0,mac=00:00:00:01:00:01,romfile=
        -netdev socket,id=net1,mcast=224.0.0.121:27030,localaddr=127.0.0.1 -device virtio-net-pci,netdev=net1,mac=00:00:00:01:01:01,romfile=
        -netdev socket,id=net2,mcast=224.0.0.122:27030,localaddr=127.0.0.1 -device virtio-net-pci,netdev=net2,mac=00:00:00:01:02:01,romfile=
        -netdev user,id=net0,net=192.168.0.0/24,host=192.168.0.250,dns=192.168.0.251,dhcpstart=192.168.0.241,ipv6-prefix=1000::1:c0a8:0,ipv6-prefixlen=120,ipv6-host=1000::1:c0a8:fa,ipv6-dns=1000::1:c0a8:fb,hostfwd=tcp:127.0.0.1:12003-192.168.0.3:23,hostfwd=tcp:127.0.0.1:12303-192.168.0.3:22 -device virtio-net-pci,netdev=net0,mac=00:00:00:01:00:03,romfile=
        -netdev socket,id=net1,mcast=224.0.0.121:27030,localaddr=127.0.0.1 -device virtio-net-pci,netdev=net1,mac=00:00:00:01:01:03,romfile=
        -netdev socket,id=net2,mcast=224.0.0.122:27030,localaddr=127.0.0.1 -device virtio-net-pci,netdev=net2,mac=00:00:00:01:02:03,romfile=
        -netdev user,id=net0,net=192.168.0.0/24,host=192.168.0.250,dns=192.168.0.251,dhcpstart=192.168.0.241,ipv6-prefix=1000::1:c0a8:0,ipv6-prefixlen=120,ipv6-host=1000::1:c0a8:fa,ipv6-dns=1000::1:c0a8:fb,hostfwd=tcp:127.0.0.1:12201-192.168.0.201:23,hostfwd=tcp:127.0.0.1:12501-192.168.0.201:22 -device virtio-net-pci,netdev=net0,mac=00:00:00:01:00:c9,romfile=
        -netdev socket,id=net1,mcast=224.0.0.121:27030,localaddr=127.0.0.1 -device virtio-net-pci,netdev=net1,mac=00:00:00:01:01:c9,romfile=
        -netdev socket,id=net2,mcast=224.0.0.122:27030,localaddr=127.0.0.1 -device virtio-net-pci,netdev=net2,mac=00:00:00:01:02:c9,romfile=
    ")
}

async fn another_ipv6_prefix_is_used_throughout() -> Result<(), TestFailure> {
    let mut net = Net::new(NetId::INTERNAL);
    net.addressing = Addressing { ipv6_prefix: "fd00:".parse()? };
    check(&args(vec![port(1, net, &[])?]).await?.0, "
        -netdev user,id=net0,net=192.168.0.0/24,host=192.168.0.250,dns=192.168.0.251,dhcpstart=192.168.0.241,ipv6-prefix=fd00::c0a8:0,ipv6-prefixlen=120,ipv6-host=fd00::c0a8:fa,ipv6-dns=fd00::c0a8:fb -device virtio-net-pci,netdev=net0,mac=00:00:00:01:00:01,romfile=
    ")
}

async fn without_logins_nothing_is_forwarded() -> Result<(), TestFailure> {
    let (args, access) = args(vec![port(2, Net::new(NetId::INTERNAL), &[])?]).await?;
    ensure(!args[0].contains("hostfwd"), || args[0].clone())?;
    ensure(access[0] == HostAccess::Forwarded(Vec::new()), || format!("{:?}", access[0]))
}

async fn forwards_are_reported() -> Result<(), TestFailure> {
    let port = port(2, Net::new(NetId::INTERNAL), &[23, 80])?;
    let (args, access) = args(vec![port]).await?;
    let telnet = access[0].tcp(23).map(|host| host.to_string());
    ensure(telnet.as_deref() == Some("127.0.0.1:12002"), || format!("telnet at {telnet:?}"))?;
    let other = access[0].tcp(80).ok_or_else(|| TestFailure::new("port 80 is not told"))?;
    let arg = format!("hostfwd=tcp:{other}-192.168.0.2:80");
    ensure(args[0].contains(&arg), || format!("no {arg} in {}", args[0]))
}
