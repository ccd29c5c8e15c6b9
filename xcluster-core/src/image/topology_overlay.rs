//! Generates the overlay that configures every net except the internal one, from the plan. Pure.
//!
//! All nodes get the same files: a set for each host name, and a script that applies the set of its own host name. The files
//! configure addresses, bridges, routes, forwarding and masquerading for both IP versions. They are batches for `ip` and `nft`,
//! because each process takes milliseconds in an emulated guest.

use std::fmt::Write;
use std::net::IpAddr;

use super::overlay::OverlayFile;
use crate::addr::Addressing;
use crate::name::{NetId, NodeId, Role};
use crate::plan::{Plan, PlannedNode};
use crate::topology::{Destination, NodeRoute};

/// The folder with the files of each node, by host name.
const DIR: &str = "etc/xcluster/net";

/// Applies the files of this host. Kernel settings come first, because they decide how routes use the state of neighbours.
const SCRIPT: &str = r#"#!/bin/sh
# Configures every net but the internal one, as the cluster's topology says.
files=/etc/xcluster/net/$(hostname)
[ -r "$files.ip" ] || exit 0
while read -r setting value; do
	echo "$value" >"/proc/sys/$setting" || exit 1
done <"$files.sysctl"
ip -batch "$files.ip" || exit 1
[ ! -e "$files.nft" ] || nft -f "$files.nft"
"#;

/// Returns the files of the overlay.
pub(crate) fn overlay(plan: &Plan) -> Vec<OverlayFile> {
    let mut files = vec![file("etc/hosts", 0o644, hosts(plan)), file("etc/init.d/20topology.rc", 0o755, SCRIPT.into())];
    for node in &plan.nodes {
        let path = |kind: &str| format!("{DIR}/{}.{kind}", node.name);
        files.push(file(path("sysctl"), 0o644, sysctl(node)));
        files.push(file(path("ip"), 0o644, ip(plan, node)));
        if !node.node.masquerade.is_empty() {
            files.push(file(path("nft"), 0o644, nft(&plan.addressing, node)));
        }
    }
    files
}

fn file(path: impl Into<String>, mode: u32, content: String) -> OverlayFile {
    OverlayFile { path: path.into(), mode, content: content.into_bytes() }
}

/// Returns the names of all nodes and of the host, with their addresses on the internal net, which all are on.
fn hosts(plan: &Plan) -> String {
    let addressing = &plan.addressing;
    let mut text = String::from(
        "127.0.0.1 localhost\n\
         ::1 localhost ip6-localhost ip6-loopback\n\
         ff02::1 ip6-allnodes\n\
         ff02::2 ip6-allrouters\n",
    );
    let mut host = |ipv4: IpAddr, ipv6: IpAddr, name: &str| {
        text.push_str(&format!("{ipv4} {name}\n{ipv6} {name}\n"));
    };
    let net = NetId::INTERNAL;
    host(addressing.host_ipv4(net).into(), addressing.host_ipv6(net).into(), "host");
    for planned in &plan.nodes {
        let node = planned.node.id;
        host(addressing.ipv4(net, node).into(), addressing.ipv6(net, node).into(), &planned.name);
    }
    text
}

/// Returns the kernel settings of a node: lines with a path below `/proc/sys` and a value.
fn sysctl(planned: &PlannedNode) -> String {
    let mut text = String::from(
        // The hash policy spreads flows, not hosts, over the paths of a route. Paths with a dead neighbour are not used: IPv6
        // does so by default, IPv4 needs the setting.
        "net/ipv4/fib_multipath_hash_policy 1\n\
         net/ipv6/fib_multipath_hash_policy 1\n\
         net/ipv4/fib_multipath_use_neigh 1\n",
    );
    if planned.node.forward {
        text.push_str("net/ipv4/ip_forward 1\nnet/ipv6/conf/all/forwarding 1\n");
    }
    // No duplicate address detection: the addresses are unique, and each boot would wait a second for it.
    for nic in planned.nics.iter().skip(1) {
        text.push_str(&format!("net/ipv6/conf/{}/accept_dad 0\n", nic.name));
    }
    text
}

/// Returns the batch for `ip`.
fn ip(plan: &Plan, planned: &PlannedNode) -> String {
    let mut batch = Batch::default();
    let bridged = |net: &NetId| planned.node.bridges.iter().any(|group| group.contains(net));
    for nic in planned.nics.iter().skip(1) {
        let name = &nic.name;
        batch.line(format!("link set {name} up"));
        if !bridged(&nic.port.net.id) {
            batch.line(format!("address add {}/{} broadcast + dev {name}", nic.ipv4, Addressing::IPV4_LEN));
            batch.line(format!("address add {}/{} dev {name} nodad", nic.ipv6, Addressing::IPV6_LEN));
        }
    }
    for (index, group) in planned.node.bridges.iter().enumerate() {
        batch.line(format!("link add br{index} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"));
        for nic in group.iter().filter_map(|net| planned.node.nic(*net)) {
            batch.line(format!("link set {nic} master br{index}"));
        }
        batch.line(format!("link set br{index} up"));
    }
    // Routers reach the outside over the host, which has an address on the internal net. There is no IPv6 beyond it.
    let routes_anyway = planned.node.routes.iter().any(|route| route.to == Destination::Default);
    if planned.role == Role::Routers && !routes_anyway {
        batch.line(format!("route add default via {}", plan.addressing.host_ipv4(NetId::INTERNAL)));
    }
    for route in &planned.node.routes {
        let (v4, v6) = destination(&plan.addressing, route.to);
        batch.route(&v4, route, |net, node| plan.addressing.ipv4(net, node).into());
        batch.route(&v6, route, |net, node| plan.addressing.ipv6(net, node).into());
    }
    batch.0
}

fn destination(addressing: &Addressing, to: Destination) -> (String, String) {
    match to {
        // Not `default`: `ip` would take it as IPv4, whatever the hops are.
        Destination::Default => ("0.0.0.0/0".to_owned(), "::/0".to_owned()),
        Destination::Net(net) => (
            format!("{}/{}", addressing.ipv4_net(net), Addressing::IPV4_LEN),
            format!("{}/{}", addressing.ipv6_net(net), Addressing::IPV6_LEN),
        ),
    }
}

#[derive(Debug, Default)]
struct Batch(String);

impl Batch {
    fn line(&mut self, command: impl AsRef<str>) {
        self.0.push_str(command.as_ref());
        self.0.push('\n');
    }

    fn route(&mut self, to: &str, route: &NodeRoute, address: impl Fn(NetId, NodeId) -> IpAddr) {
        let hops: Vec<String> = route.via.iter().map(|(net, node)| format!("via {}", address(*net, *node))).collect();
        match hops.as_slice() {
            [hop] => self.line(format!("route add {to} {hop}")),
            hops => self.line(format!("route add {to} nexthop {}", hops.join(" nexthop "))),
        }
    }
}

/// Returns the rules that masquerade traffic towards the host, for `nft -f`.
fn nft(addressing: &Addressing, planned: &PlannedNode) -> String {
    let mut rules = String::new();
    for net in &planned.node.masquerade {
        let (v4, v6) = destination(addressing, Destination::Net(*net));
        // Writing to a string cannot fail.
        let _ = write!(
            rules,
            "\t\toifname \"eth0\" ip saddr {v4} masquerade\n\t\toifname \"eth0\" ip6 saddr {v6} masquerade\n"
        );
    }
    format!(
        "table inet xcluster {{\n\tchain postrouting {{\n\t\ttype nat hook postrouting priority srcnat;\n{rules}\t}}\n}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::ClusterName;
    use crate::net::Registry;
    use crate::plan::Options;
    use crate::topology::Topology;

    fn files(topology: &str) -> String {
        let mut backends = Registry::new();
        backends
            .add(std::sync::Arc::new(crate::net::noop_backend::NoopBackend)
                as std::sync::Arc<dyn crate::net::NetBackend>)
            .unwrap();
        let topology = Topology::from_toml(topology).unwrap();
        let name = ClusterName::new("golden").unwrap();
        let plan = Plan::new(name, &topology, Options::default(), &backends).unwrap();
        let show = |file: OverlayFile| {
            format!("--- {} {:o}\n{}", file.path, file.mode, String::from_utf8(file.content).unwrap())
        };
        overlay(&plan).into_iter().map(show).collect()
    }

    #[test]
    fn the_files_for_the_default_nets() {
        insta::assert_snapshot!(files("role.workers.count = 1\nrole.testers.count = 1"));
    }

    #[test]
    fn the_files_for_bridges_net_routes_and_another_prefix() {
        insta::assert_snapshot!(files(
            r#"
            ipv6_prefix = "fd00:"
            [role.workers]
            count = 1
            nets = [0, 3, 1]
            [role.routers]
            count = 1
            bridges = [[1, 2]]
            [[route]]
            on = 1
            to = 2
            via = [{ net = 1, node = 201 }]
            "#
        ));
    }
}
