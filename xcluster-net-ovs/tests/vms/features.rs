//! Features of nets, checked within VMs and with a user's tools.

use std::io::Read;
use std::process::{Command, Stdio};

use xcluster_core::Cluster;
use xcluster_core::name::{NetId, NodeId};
use xcluster_net_ovs::{OvsConfig, OvsNet, OvsPort};

use crate::harness::{attempt, builder, expectations, is_possible, run, scenario, serving};

/// Nodes 1 and 3 are in VLAN 10, node 2 is in VLAN 20, and the router is in both by tags. A rule drops frames for port 7009.
#[tokio::test(flavor = "multi_thread")]
async fn a_net_with_vlans_rules_and_a_copy_does_what_is_expected() {
    if !is_possible() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    std::fs::write(&rules, "priority=10,tcp,tp_dst=7009,actions=drop\n").unwrap();
    let node = |number| NodeId::new(number).unwrap();
    let net = OvsNet::default()
        .with_mirror()
        .with_flows(&rules)
        .with_node(node(1), OvsPort::access(10))
        .with_node(node(2), OvsPort::access(20))
        .with_node(node(3), OvsPort::access(10))
        .with_node(node(201), OvsPort::trunk([10, 20]));
    let config = OvsConfig::default().with_net(NetId::CLUSTER, net);
    scenario(builder(config).nodes(3).routers(1), async |cluster| {
        expectations!(cluster;
            nodes_of_a_vlan_reach_each_other_alone,
            the_router_is_on_both_vlans_by_its_tags,
            the_copy_shows_what_nodes_say_to_each_other,
            what_a_rule_drops_does_not_arrive,
            a_node_that_comes_later_is_on_the_net_as_well,
        );
    })
    .await;
}

async fn nodes_of_a_vlan_reach_each_other_alone(cluster: &Cluster) {
    run(cluster, 1, "ping -c1 -W5 192.168.1.3").await;
    let other = attempt(cluster, 1, "arping -c1 -w1 -I eth1 192.168.1.2").await;
    assert!(!other.status.success(), "{}", other.text());
}

/// A new node needs no repeated settings of the others. It has no VLAN, so only the router hears it.
async fn a_node_that_comes_later_is_on_the_net_as_well(cluster: &Cluster) {
    cluster.boot(4).await.unwrap();
    run(cluster, 4, "ping -c1 -W5 192.168.0.1").await;
    let links = run(cluster, 4, "ip -brief address show eth1").await;
    assert!(links.contains("192.168.1.4"), "{links}");
}

async fn the_router_is_on_both_vlans_by_its_tags(cluster: &Cluster) {
    for (vlan, node) in [(10, 1), (20, 2)] {
        let link = format!("ip link add link eth1 name eth1.{vlan} type vlan id {vlan} && ip link set eth1.{vlan} up");
        let address = format!("ip address add 10.{vlan}.0.201/24 dev eth1.{vlan}");
        run(cluster, 201, format!("modprobe 8021q; {link} && {address}")).await;
        run(cluster, node, format!("ip address add 10.{vlan}.0.{node}/24 dev eth1")).await;
        run(cluster, node, format!("ping -c1 -W5 10.{vlan}.0.201")).await;
    }
}

/// With `tcpdump` in the cluster's namespace, if this host has it.
async fn the_copy_shows_what_nodes_say_to_each_other(cluster: &Cluster) {
    let mut command = Command::new("cat");
    command.arg("/proc/net/dev").stdout(Stdio::piped());
    cluster.inside().await.unwrap().expect("the cluster has a namespace").enter(&mut command);
    let before = received(&mut command);
    run(cluster, 1, "ping -c3 -i0.2 -W5 192.168.1.3").await;
    let after = received(&mut command);
    // Three requests and three answers, each once, and the search for the neighbour.
    assert!((6..40).contains(&(after - before)), "{before} frames before, {after} after");
}

/// How many frames a program sees on the copy's link.
fn received(command: &mut Command) -> u64 {
    let mut child = command.spawn().unwrap();
    let mut table = String::new();
    child.stdout.take().unwrap().read_to_string(&mut table).unwrap();
    child.wait().unwrap();
    let line = table.lines().find(|line| line.trim_start().starts_with("xcbr1_cap:")).expect("there is a copy");
    line.split_whitespace().nth(2).unwrap().parse().unwrap()
}

async fn what_a_rule_drops_does_not_arrive(cluster: &Cluster) {
    for (port, arrives) in [(7008, true), (7009, false)] {
        let server = serving(cluster, 3, port, "cat").await;
        let echo = attempt(cluster, 1, format!("echo word | nc -w 3 192.168.1.3 {port}")).await;
        assert_eq!(echo.text().contains("word"), arrives, "port {port}: {}", echo.text());
        drop(server);
    }
}
