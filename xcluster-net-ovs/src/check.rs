//! Checks a configuration, by itself and for the nets of a cluster. Reports all problems with their places. Does not look at
//! the host. Pure.

use xcluster_core::net::{Net, Port};
use xcluster_core::topology::{NetKind, Problems};

use crate::config::{Instance, MTU_MAX, OvsConfig, OvsNet, Tunnel, TunnelKind};

/// VLANs of IEEE 802.1Q: 0 means none, 4095 is reserved.
const VLANS: std::ops::RangeInclusive<u16> = 1..=4094;
/// A VNI has 24 bits.
const VNI_MAX: u32 = (1 << 24) - 1;
/// The most other hosts of a net: more than a mesh of hosts needs, and few enough for short names.
const TUNNELS_MAX: usize = 99;
/// The forms of a controller (ovs-vsctl(8)).
const CONTROLLERS: [&str; 6] = ["tcp:", "ssl:", "unix:", "ptcp:", "pssl:", "punix:"];
/// The forms of a database (ovs-vsctl(8)).
const DATABASES: [&str; 3] = ["unix:", "tcp:", "ssl:"];

/// Problems for any cluster.
pub(crate) fn check(config: &OvsConfig) -> Problems {
    let mut problems = Problems::default();
    let reachable = DATABASES.iter().any(|kind| config.db.starts_with(kind));
    if config.instance == Instance::System && !reachable {
        problems.add("db", format!("`{}` is not a database: it is {} and an address", config.db, either(&DATABASES)));
    }
    for (id, net) in &config.nets {
        check_net(net, &format!("net.{id}"), &mut problems);
        if !net.tunnels.is_empty() && *id == xcluster_core::name::NetId::INTERNAL {
            problems.add(format!("net.{id}.tunnel"), INTERNAL);
        }
    }
    problems
}

/// Why the internal net has no tunnels.
const INTERNAL: &str =
    "the internal net has the same addresses on every host, so it cannot be joined to that of another one";

fn check_net(net: &OvsNet, key: &str, problems: &mut Problems) {
    check_vlans(net.tag, &net.trunks, key, problems);
    for (node, port) in &net.nodes {
        check_vlans(port.tag, &port.trunks, &format!("{key}.node.{}", node.number()), problems);
    }
    for controller in &net.controllers {
        if !CONTROLLERS.iter().any(|kind| controller.starts_with(kind)) || controller.contains(char::is_whitespace) {
            let expected = either(&CONTROLLERS);
            problems.add(
                format!("{key}.controllers"),
                format!("`{controller}` is not a controller: it is {expected} and an address"),
            );
        }
    }
    if net.tunnels.len() > TUNNELS_MAX {
        problems.add(format!("{key}.tunnel"), format!("a net reaches at most {TUNNELS_MAX} other hosts"));
    }
    for (index, tunnel) in net.tunnels.iter().enumerate() {
        check_tunnel(tunnel, &format!("{key}.tunnel.{index}"), problems);
        if net.tunnels[0].remote.is_ipv4() != tunnel.remote.is_ipv4() {
            problems.add(
                format!("{key}.tunnel.{index}.remote"),
                format!("{} is of another version of IP than {}", tunnel.remote, net.tunnels[0].remote),
            );
        }
        if net.tunnels[..index].iter().any(|other| other.remote == tunnel.remote) {
            problems.add(
                format!("{key}.tunnel.{index}.remote"),
                format!("{} is reached already: frames would come twice", tunnel.remote),
            );
        }
    }
}

fn check_vlans(tag: Option<u16>, trunks: &[u16], key: &str, problems: &mut Problems) {
    if let Some(tag) = tag.filter(|tag| !VLANS.contains(tag)) {
        problems.add(format!("{key}.tag"), format!("{tag} is not a VLAN: they are 1–4094"));
    }
    for (index, trunk) in trunks.iter().enumerate() {
        if *trunk > *VLANS.end() {
            problems.add(
                format!("{key}.trunks.{index}"),
                format!("{trunk} is not a VLAN: they are 1–4094, and 0 for untagged frames"),
            );
        }
        if trunks[..index].contains(trunk) {
            problems.add(format!("{key}.trunks.{index}"), format!("VLAN {trunk} is in the list already"));
        }
    }
}

fn check_tunnel(tunnel: &Tunnel, key: &str, problems: &mut Problems) {
    if let Some(vni) = tunnel.vni.filter(|vni| *vni > VNI_MAX) {
        problems.add(format!("{key}.vni"), format!("{vni} does not fit 24 bits: it is 0–{VNI_MAX}"));
    }
    if tunnel.port == Some(0) {
        problems.add(format!("{key}.port"), "0 is not a UDP port");
    }
    let remote = tunnel.remote;
    if remote.is_unspecified() || remote.is_multicast() || remote.is_loopback() {
        problems.add(format!("{key}.remote"), format!("{remote} is not the address of another host"));
    }
    match tunnel.local {
        Some(local) if local.is_ipv4() != remote.is_ipv4() => {
            problems.add(format!("{key}.local"), format!("{local} and {remote} are of different versions of IP"));
        }
        Some(_) if tunnel.kind == TunnelKind::Geneve => {
            problems.add(format!("{key}.local"), "the kernel's Geneve takes none: routes choose the address");
        }
        _ => {}
    }
}

fn either(kinds: &[&str]) -> String {
    kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ")
}

/// Settings for nets and nodes that the cluster does not have. Only for the complete nets of a cluster: when some are added,
/// the settings of the others were checked before.
pub(crate) fn check_members(config: &OvsConfig, nets: &[Net], ports: &[Port]) -> Problems {
    let mut problems = Problems::default();
    for (id, settings) in &config.nets {
        if !nets.iter().any(|net| net.id == *id) {
            problems.add(format!("net.{id}"), "the cluster has no such net on this backend");
            continue;
        }
        for node in settings.nodes.keys() {
            if !ports.iter().any(|port| port.net.id == *id && port.node == *node) {
                problems.add(format!("net.{id}.node.{}", node.number()), format!("{node} is not on net {id}"));
            }
        }
    }
    problems
}

/// Problems for these nets.
pub(crate) fn check_for(config: &OvsConfig, nets: &[Net]) -> Problems {
    let mut problems = check(config);
    for (id, settings) in &config.nets {
        let key = format!("net.{id}");
        let Some(net) = nets.iter().find(|net| net.id == *id) else { continue };
        if !settings.tunnels.is_empty() && net.kind == NetKind::Internal && *id != xcluster_core::name::NetId::INTERNAL
        {
            problems.add(format!("{key}.tunnel"), INTERNAL);
        }
        for (index, tunnel) in settings.tunnels.iter().enumerate() {
            if let Some(inside) = nets.iter().find(|net| has(net, tunnel)) {
                problems.add(
                    format!("{key}.tunnel.{index}.remote"),
                    format!("{} is an address of net {} of the cluster", tunnel.remote, inside.id),
                );
            }
        }
    }
    for net in nets.iter().filter(|net| net.mtu > MTU_MAX) {
        problems.add("", format!("net {} has an MTU of {}, and Open vSwitch carries {}", net.id, net.mtu, MTU_MAX));
    }
    problems
}

/// Whether the other end of a tunnel has an address of this net.
fn has(net: &Net, tunnel: &Tunnel) -> bool {
    use std::net::IpAddr;
    match (tunnel.remote, net.ipv4(), net.ipv6()) {
        (IpAddr::V4(ip), v4, _) => ip.octets()[..3] == v4.octets()[..3],
        (IpAddr::V6(ip), _, v6) => ip.octets()[..15] == v6.octets()[..15],
    }
}

#[cfg(test)]
mod tests {
    use xcluster_core::name::{NetId, NodeId};

    use super::*;
    use crate::config::OvsPort;

    fn node(number: u16) -> NodeId {
        NodeId::new(number).unwrap()
    }

    #[test]
    fn everything_that_no_cluster_could_have_is_reported_at_once_with_its_place() {
        let tunnel = |remote: &str| Tunnel::new(TunnelKind::Vxlan, remote.parse().unwrap());
        let net = OvsNet::default()
            .with_tag(0)
            .with_trunks([10, 4095, 10])
            .with_controllers(["host:6653".to_owned()])
            .with_node(node(3), OvsPort::access(4095))
            .with_tunnel(tunnel("10.0.0.1").with_vni(1 << 24).with_port(0).from_local("fd00::1".parse().unwrap()))
            .with_tunnel(tunnel("10.0.0.1"))
            .with_tunnel(tunnel("224.0.0.1"))
            .with_tunnel(tunnel("fd00::2"));
        let internal = OvsNet::default().with_tunnel(tunnel("10.0.0.1"));
        let config = OvsConfig::default()
            .on_system("/var/run/db.sock")
            .with_net(NetId::CLUSTER, net)
            .with_net(NetId::INTERNAL, internal);
        let found: Vec<String> = check(&config).iter().map(ToString::to_string).collect();
        let expected = [
            "db: `/var/run/db.sock` is not a database: it is `unix:`, `tcp:`, `ssl:` and an address",
            "net.0.tunnel: the internal net has the same addresses on every host, so it cannot be joined to that of \
             another one",
            "net.1.tag: 0 is not a VLAN: they are 1–4094",
            "net.1.trunks.1: 4095 is not a VLAN: they are 1–4094, and 0 for untagged frames",
            "net.1.trunks.2: VLAN 10 is in the list already",
            "net.1.node.3.tag: 4095 is not a VLAN: they are 1–4094",
            "net.1.controllers: `host:6653` is not a controller: it is `tcp:`, `ssl:`, `unix:`, `ptcp:`, `pssl:`, `punix:` \
             and an address",
            "net.1.tunnel.0.vni: 16777216 does not fit 24 bits: it is 0–16777215",
            "net.1.tunnel.0.port: 0 is not a UDP port",
            "net.1.tunnel.0.local: fd00::1 and 10.0.0.1 are of different versions of IP",
            "net.1.tunnel.1.remote: 10.0.0.1 is reached already: frames would come twice",
            "net.1.tunnel.2.remote: 224.0.0.1 is not the address of another host",
            "net.1.tunnel.3.remote: fd00::2 is of another version of IP than 10.0.0.1",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_the_cluster_does_not_have_is_reported() {
        let nets = [Net::new(NetId::CLUSTER), Net::new(NetId::EXTERNAL)];
        let ports = [Port::new(node(1), nets[0].clone(), 0)];
        let own = OvsNet::default()
            .with_node(node(2), OvsPort::access(5))
            .with_tunnel(Tunnel::new(TunnelKind::Geneve, "192.168.2.7".parse().unwrap()));
        let other = OvsNet::default().with_tunnel(Tunnel::new(TunnelKind::Vxlan, "1000::1:c0a8:207".parse().unwrap()));
        let config = OvsConfig::default()
            .with_net(NetId::CLUSTER, own)
            .with_net(NetId::EXTERNAL, other)
            .with_net(NetId::new(9), OvsNet::default());
        let mut problems = check_for(&config, &nets);
        problems.extend(check_members(&config, &nets, &ports));
        let found: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let expected = [
            "net.1.tunnel.0.remote: 192.168.2.7 is an address of net 2 of the cluster",
            "net.2.tunnel.0.remote: 1000::1:c0a8:207 is an address of net 2 of the cluster",
            "net.1.node.2: vm-002 is not on net 1",
            "net.9: the cluster has no such net on this backend",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn nothing_is_wrong_with_nothing() {
        assert!(check(&OvsConfig::default()).is_empty());
    }
}
