//! The commands for bridges and ports, and whether host and nodes hear each other with them. Pure.

use xcluster_core::addr::Addressing;
use xcluster_core::name::NodeId;
use xcluster_core::net::{Net, Port};

use crate::config::{FailMode, OvsNet, OvsPort, Tunnel, TunnelKind};
use crate::names::{ID_NETNS, ID_NODE, Names};
use crate::switch::{Datapath, VsctlCommand};

/// OpenFlow port numbers. A node has its own number, up to 240. The next one is for the copy of all frames, and those above
/// for other hosts.
const CAPTURE_PORT: usize = 1000;

/// Makes the bridge of a net, and the copy of its frames.
pub(crate) fn bridge(names: &Names, net: &Net, settings: &OvsNet, datapath: Datapath, netns: u64) -> VsctlCommand {
    let name = names.bridge(net.id);
    let fail_mode = match settings.fail_mode {
        FailMode::Standalone => "fail_mode=standalone",
        FailMode::Secure => "fail_mode=secure",
    };
    let mut bridge = set("Bridge", &name);
    bridge.extend([format!("datapath_type={}", datapath.type_name()), fail_mode.to_owned()]);
    // LLDP frames must reach guests; by default a bridge does not forward them.
    bridge.push("other_config:forward-bpdu=true".to_owned());
    // Without an address, a bridge takes that of a port, which changes as ports come and go.
    bridge.push(format!("other_config:hwaddr=\"{}\"", net.addressing.host_mac(net.id)));
    bridge.extend(ids(names.ids(net.id)));
    bridge.push(id(ID_NETNS, &netns.to_string()));
    let mut interface = set("Interface", &name);
    interface.push(format!("mtu_request={}", net.mtu));
    let mut command = VsctlCommand::new(["add-br", &name]).and(bridge).and(interface).expecting(&name, Some(net.mtu));
    if let Some(tag) = settings.tag {
        command = command.and(set("Port", &name).into_iter().chain([format!("tag={tag}")]));
    }
    if !settings.controllers.is_empty() {
        command =
            command.and(["set-controller", &name].map(str::to_owned).into_iter().chain(settings.controllers.clone()));
    }
    if settings.mirror { capture(command, names, net) } else { command }
}

fn capture(command: VsctlCommand, names: &Names, net: &Net) -> VsctlCommand {
    let (bridge, name) = (names.bridge(net.id), names.capture(net.id));
    let mut interface = set("Interface", &name);
    interface.extend(["type=internal".to_owned(), format!("ofport_request={CAPTURE_PORT}")]);
    interface.push(format!("mtu_request={}", net.mtu));
    let mirror = ["create", "Mirror", &format!("name={name}"), "select_all=true", "output_port=@port"];
    command
        .and(["add-port", &bridge, &name])
        .and(interface)
        .and(["--id=@port", "get", "Port", &name])
        .and(["--id=@mirror"].into_iter().chain(mirror))
        .and(["set", "Bridge", &bridge, "mirrors=@mirror"])
        .expecting(&name, Some(net.mtu))
}

/// Removes the bridge of a net, with all of its ports.
pub(crate) fn remove_bridge(name: &str) -> VsctlCommand {
    VsctlCommand::new(["--if-exists", "del-br", name])
}

/// Makes a tap a port of its bridge.
pub(crate) fn port(names: &Names, port: &Port, settings: &OvsNet) -> VsctlCommand {
    let (bridge, name) = (names.bridge(port.net.id), names.tap(port.net.id, port.node));
    let mut row = set("Port", &name);
    row.extend(ids(names.ids(port.net.id)));
    row.push(id(ID_NODE, &port.node.number().to_string()));
    row.extend(vlans(&vlans_of(settings, port.node)));
    let mut interface = set("Interface", &name);
    interface.push(format!("ofport_request={}", port.node.number()));
    let command = VsctlCommand::new(["--may-exist", "add-port", &bridge, &name]).and(row).and(interface);
    command.expecting(&name, Some(port.net.mtu))
}

/// Removes a port.
pub(crate) fn remove_port(names: &Names, port: &Port) -> VsctlCommand {
    let (bridge, name) = (names.bridge(port.net.id), names.tap(port.net.id, port.node));
    VsctlCommand::new(["--if-exists", "del-port", &bridge, &name])
}

/// Adds a tunnel as a port. With the kernel's datapath, the switch makes the link; otherwise it exists.
pub(crate) fn tunnel(names: &Names, net: &Net, index: usize, tunnel: &Tunnel, datapath: Datapath) -> VsctlCommand {
    let (bridge, name) = (names.bridge(net.id), names.tunnel(net.id, index));
    let mut interface = set("Interface", &name);
    interface.push(format!("ofport_request={}", CAPTURE_PORT + 1 + index));
    if datapath == Datapath::System {
        interface.extend(options(net, tunnel));
    }
    let mut row = set("Port", &name);
    // Frames from one host are not forwarded to another: all are connected to each other, and frames would circle.
    row.push("protected=true".to_owned());
    row.extend(ids(names.ids(net.id)));
    VsctlCommand::new(["add-port", &bridge, &name]).and(row).and(interface).expecting(&name, None)
}

fn options(net: &Net, tunnel: &Tunnel) -> Vec<String> {
    let kind = match tunnel.kind {
        TunnelKind::Vxlan => "vxlan",
        TunnelKind::Geneve => "geneve",
    };
    let mut options = vec![
        format!("type={kind}"),
        format!("options:remote_ip=\"{}\"", tunnel.remote),
        format!("options:key=\"{}\"", vni(net, tunnel)),
        format!("options:dst_port=\"{}\"", tunnel.port.unwrap_or(tunnel.kind.port())),
    ];
    options.extend(tunnel.local.map(|local| format!("options:local_ip=\"{local}\"")));
    options
}

/// The virtual network identifier of a tunnel.
pub(crate) fn vni(net: &Net, tunnel: &Tunnel) -> u32 {
    tunnel.vni.unwrap_or(net.id.number().into())
}

/// The VLANs of a node.
pub(crate) fn vlans_of(settings: &OvsNet, node: NodeId) -> OvsPort {
    let of_net = OvsPort { tag: settings.tag, trunks: settings.trunks.clone() };
    settings.nodes.get(&node).cloned().unwrap_or(of_net)
}

/// Whether a node and the host hear each other. The host sends untagged frames into the VLAN of the net.
pub(crate) fn hears_host(settings: &OvsNet, node: NodeId) -> bool {
    let port = vlans_of(settings, node);
    let untagged = match (port.tag, port.trunks.as_slice()) {
        (Some(tag), _) => Some(tag),
        (None, trunks) => (trunks.is_empty() || trunks.contains(&0)).then_some(0),
    };
    untagged == Some(settings.tag.unwrap_or(0))
}

/// The columns of a `Port` for VLANs (ovs-vswitchd.conf.db(5)).
fn vlans(port: &OvsPort) -> Vec<String> {
    let list = || port.trunks.iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    match (port.tag, port.trunks.is_empty()) {
        (None, true) => Vec::new(),
        (Some(tag), true) => vec![format!("tag={tag}")],
        (None, false) => vec![format!("trunks={}", list())],
        (Some(tag), false) => vec![format!("tag={tag}"), format!("trunks={}", list()), NATIVE.to_owned()],
    }
}

/// Without it, a port with a tag accepts no other frames.
const NATIVE: &str = "vlan_mode=native-untagged";

fn set(table: &str, record: &str) -> Vec<String> {
    ["set", table, record].map(str::to_owned).into()
}

fn ids(ids: Vec<(&'static str, String)>) -> impl Iterator<Item = String> {
    ids.into_iter().map(|(key, value)| id(key, &value))
}

fn id(key: &str, value: &str) -> String {
    format!("external_ids:{key}=\"{value}\"")
}

/// The addresses of the host on a net, with their prefix lengths.
pub(crate) fn host_addresses(net: &Net) -> [xcluster_core::netlink::address::Address; 2] {
    use xcluster_core::netlink::address::Address;
    [
        Address { ip: net.host_ipv4().into(), prefix: Addressing::IPV4_LEN },
        Address { ip: net.host_ipv6().into(), prefix: Addressing::IPV6_LEN },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u16) -> NodeId {
        NodeId::new(number).unwrap()
    }

    fn check(net: &OvsNet, number: u16, args: &str, hears_the_host: bool) {
        assert_eq!(vlans(&vlans_of(net, node(number))).join(" "), args);
        assert_eq!(hears_host(net, node(number)), hears_the_host, "node {number}");
    }

    #[test]
    fn vlans_are_those_of_the_node_else_of_the_net() {
        let net = OvsNet::default()
            .with_node(node(2), OvsPort::access(20))
            .with_node(node(3), OvsPort::trunk([10, 20]))
            .with_node(node(4), OvsPort::trunk([0, 10]))
            .with_node(node(5), OvsPort::trunk([10]).with_tag(7));
        check(&net, 1, "", true);
        check(&net, 2, "tag=20", false);
        check(&net, 3, "trunks=10,20", false);
        check(&net, 4, "trunks=0,10", true);
        check(&net, 5, "tag=7 trunks=10 vlan_mode=native-untagged", false);
        let tagged = net.with_tag(20);
        check(&tagged, 1, "tag=20", true);
        check(&tagged, 2, "tag=20", true);
        check(&tagged, 4, "trunks=0,10", false);
    }
}
