//! Expectations about nets: which nodes reach each other, which do not hear each other, and nodes on many nets.

use std::net::IpAddr;

use crate::addr::Addressing;
use crate::testing::cluster_harness;

use super::fixture::{Fixture, addresses, node};

/// The TCP port of a node that other nodes connect to.
const PORT: u16 = 7000;
/// How many ARP requests are sent: the first may be lost while a port comes up.
const PROBES: usize = 3;

pub(super) async fn nodes_reach_each_other(fixture: &Fixture<'_>) {
    for from in [1, 2, 3] {
        let pings = fixture.joined(from).flat_map(|nic| {
            let neighbours = fixture.neighbours(nic);
            neighbours.flat_map(|neighbour| addresses(&nic.port.net, neighbour)).collect::<Vec<_>>()
        });
        assert_eq!(silent(fixture, from, pings).await, "", "node {from} does not reach these");
    }
}

/// The addresses that do not answer a node's ping. All get one at the same time, and two more if need be: a busy hub may lose
/// frames.
pub(super) async fn silent(fixture: &Fixture<'_>, from: u16, addresses: impl IntoIterator<Item = IpAddr>) -> String {
    // A node behind a router would answer with a smaller TTL.
    let ping = |to| format!("(for _ in 1 2 3; do ping -c1 -W3 {to} | grep -q ttl=64 && exit; done; echo {to}) &");
    let pings: Vec<String> = addresses.into_iter().map(ping).collect();
    fixture.run(from, format!("{} wait", pings.join("\n"))).await
}

/// All offloads are on, so only the other guest could notice a wrong checksum.
pub(super) async fn megabytes_arrive(fixture: &Fixture<'_>) {
    let server = fixture.serving(2, PORT, "sha256sum").await;
    let sent = fixture.run(1, "head -c 4194305 /dev/urandom >/tmp/sent; sha256sum </tmp/sent").await;
    for nic in fixture.joined(1) {
        for address in addresses(&nic.port.net, node(2)) {
            assert_eq!(fixture.run(1, format!("nc {address} {PORT} </tmp/sent")).await, sent, "to {address}");
        }
    }
    drop(server);
}

/// On each of its nets, node 1 asks by ARP for an address that no node has. Node 2 is on the same nets, and shows which request
/// arrives on which NIC.
pub(super) async fn nets_do_not_hear_each_other(fixture: &Fixture<'_>) {
    let mut heard = fixture.capture(2, "-i any arp").await;
    let question = |net: u8| format!("who-has 192.168.{net}.199 ");
    let nics = || fixture.nics(1).iter().map(|nic| (nic, nic.port.net.id.number()));
    // They fail, since no node answers.
    let ask = nics().map(|(nic, net)| format!("arping -c{PROBES} -w{PROBES} -I {} 192.168.{net}.199 &", nic.name));
    fixture.run(1, format!("{} wait", ask.collect::<Vec<_>>().join(" "))).await;
    for (_, net) in nics().filter(|(nic, _)| fixture.joins(&nic.port.net)) {
        heard.wait_for(&question(net)).await;
    }
    for line in heard.said.lines().filter(|line| line.contains(".199 ")) {
        // This is the other node: on a hub, the sender itself would hear the request as well.
        let right = nics().any(|(nic, net)| {
            fixture.joins(&nic.port.net) && line.contains(&question(net)) && line.contains(&format!(" {} ", nic.name))
        });
        assert!(right, "heard on a wrong NIC: {line}");
    }
}

/// The clusters have the same nets and addresses, and neither finds the other's nodes.
pub(super) async fn clusters_do_not_meet(fixture: &Fixture<'_>) {
    let Some(other) = fixture.other else { return };
    for (cluster, from, absent) in [(fixture.cluster, 1, 4), (other, 4, 1)] {
        let ask = fixture.nics(1).iter().map(|nic| {
            let [address, _] = addresses(&nic.port.net, node(absent));
            format!("{{ arping -c1 -w1 -I {} {address} >/dev/null && echo {address}; }} &", nic.name)
        });
        let answered = cluster_harness::run(cluster, from, format!("{} wait", ask.collect::<Vec<_>>().join(" "))).await;
        assert_eq!(answered, "", "these addresses of the other cluster answer node {from}");
    }
    let known = cluster_harness::run(other, 4, "ip neighbour").await;
    let ours = |number: u16| format!(" 00:00:00:01:01:{number:02x} ");
    assert!(![1, 2, 3].into_iter().any(|number| known.contains(&ours(number))), "{known}");
}

/// The stop tears its ports down, and the boot sets them up again. By then, other nodes and switches have learnt where it was.
pub(super) async fn a_node_comes_back(fixture: &Fixture<'_>) {
    let stopped = fixture.cluster.node(2).expect("the scenario has this node").stop().await;
    stopped.unwrap_or_else(|error| panic!("{error:?}"));
    for nic in fixture.joined(1) {
        let [address, _] = addresses(&nic.port.net, node(2));
        let asked =
            cluster_harness::attempt(fixture.cluster, 1, format!("arping -c1 -w1 -I {} {address}", nic.name)).await;
        assert!(!asked.status.success(), "the stopped node answers: {}", asked.text());
    }
    fixture.cluster.boot(2).await.unwrap_or_else(|error| panic!("{error:?}"));
    nodes_reach_each_other(fixture).await;
    megabytes_arrive(fixture).await;
}

/// The order of nets in the topology is the order of NICs in the guest.
pub(super) async fn each_has_its_addresses(fixture: &Fixture<'_>) {
    for number in [1, 2] {
        let shown = fixture.run(number, "ip -br link show; ip -br address show").await;
        for nic in fixture.nics(number) {
            let mine = |line: &&str| line.split_whitespace().next() == Some(nic.name.as_str());
            let lines: Vec<&str> = shown.lines().filter(mine).collect();
            for expected in [nic.mac.to_string(), format!("{}/{}", nic.ipv4, Addressing::IPV4_LEN)] {
                assert!(lines.iter().any(|line| line.contains(&expected)), "{expected} is not in {lines:?}");
            }
        }
    }
}

pub(super) async fn each_net_joins(fixture: &Fixture<'_>) {
    let others = fixture.joined(1).flat_map(|nic| addresses(&nic.port.net, node(2)));
    assert_eq!(silent(fixture, 1, others).await, "", "these addresses do not answer");
}
