//! The args for QEMU and the host access, exactly.

use xcluster_core::host::Netns;
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{HostAccess, Net, NetBackend, Port};
use xcluster_core::testing::{TestContext, TestFailure, ensure};
use xcluster_net_bridge::{BridgeBackend, BridgeConfig, Vhost};

xcluster_core::harness![
    nodes_have_a_tap_on_each_net,
    the_guest_gets_a_large_mtu,
    several_queues_are_set_on_request,
    nodes_are_reached_from_inside,
    too_many_queues_are_refused,
];

/// Without vhost, which not every host has.
fn config() -> BridgeConfig {
    BridgeConfig::default().with_vhost(Vhost::Off)
}

/// The args of these ports, one port per line, and their host access.
async fn args(config: BridgeConfig, ports: Vec<Port>) -> Result<(Vec<String>, Vec<HostAccess>), TestFailure> {
    let (test_context, backend) = (TestContext::in_netns("words", &Netns::Private)?, BridgeBackend::new(config));
    let mut nets: Vec<Net> = ports.iter().map(|port| port.net.clone()).collect();
    nets.dedup();
    backend.preflight(&test_context.context(), &nets, &ports).await?;
    for net in &nets {
        backend.create_net(&test_context.context(), net).await?;
    }
    let (mut args, mut access) = (Vec::new(), Vec::new());
    for port in &ports {
        let port_config = backend.setup(&test_context.context(), port).await?;
        let missing = port_config.kvm.missing_descriptors();
        ensure(missing.is_empty(), || format!("no descriptor for {}", missing.join(", ")))?;
        args.push(port_config.kvm.to_string());
        access.push(port_config.access);
    }
    Ok((args, access))
}

fn port(node: u16, net: u8, mtu: u16) -> Result<Port, TestFailure> {
    let mut on = Net::new(NetId::new(net));
    on.mtu = mtu;
    Ok(Port::new(NodeId::new(node)?, on, net))
}

fn check(actual: &[String], expected: &str) -> Result<(), TestFailure> {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    ensure(actual == expected, || format!("expected\n{}\nand got\n{}", expected.join("\n"), actual.join("\n")))
}

async fn nodes_have_a_tap_on_each_net() -> Result<(), TestFailure> {
    let mut ports = Vec::new();
    for net in 0..=2 {
        for node in [1, 201] {
            ports.push(port(node, net, 1500)?);
        }
    }
    check(
        &args(config(), ports).await?.0,
        "
        -netdev tap,id=net0,fd=@tap0@ -device virtio-net-pci,netdev=net0,mac=00:00:00:01:00:01,romfile=
        -netdev tap,id=net0,fd=@tap0@ -device virtio-net-pci,netdev=net0,mac=00:00:00:01:00:c9,romfile=
        -netdev tap,id=net1,fd=@tap1@ -device virtio-net-pci,netdev=net1,mac=00:00:00:01:01:01,romfile=
        -netdev tap,id=net1,fd=@tap1@ -device virtio-net-pci,netdev=net1,mac=00:00:00:01:01:c9,romfile=
        -netdev tap,id=net2,fd=@tap2@ -device virtio-net-pci,netdev=net2,mac=00:00:00:01:02:01,romfile=
        -netdev tap,id=net2,fd=@tap2@ -device virtio-net-pci,netdev=net2,mac=00:00:00:01:02:c9,romfile=
    ",
    )
}

async fn the_guest_gets_a_large_mtu() -> Result<(), TestFailure> {
    check(
        &args(config(), vec![port(1, 1, 9000)?]).await?.0,
        "
        -netdev tap,id=net1,fd=@tap1@ -device virtio-net-pci,netdev=net1,mac=00:00:00:01:01:01,romfile=,host_mtu=9000
    ",
    )
}

async fn several_queues_are_set_on_request() -> Result<(), TestFailure> {
    check(&args(config().with_queues(2), vec![port(1, 1, 1500)?]).await?.0, "
        -netdev tap,id=net1,fds=@tap1.0@:@tap1.1@ -device virtio-net-pci,netdev=net1,mac=00:00:00:01:01:01,romfile=,mq=on,vectors=6
    ")
}

async fn nodes_are_reached_from_inside() -> Result<(), TestFailure> {
    let (_, access) = args(config(), vec![port(2, 0, 1500)?]).await?;
    let address = access[0].tcp_inside(22).map(|address| address.to_string());
    ensure(address.as_deref() == Some("192.168.0.2:22"), || format!("{:?}", access[0]))
}

async fn too_many_queues_are_refused() -> Result<(), TestFailure> {
    let refused = args(config().with_queues(17), vec![port(1, 1, 1500)?]).await;
    let said = refused.err().map(|error| error.to_string()).unwrap_or_default();
    ensure(said == "a NIC has 1 to 16 pairs of queues, not 17", || said)
}
