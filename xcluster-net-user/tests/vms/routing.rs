//! Expectations about the nets that VMs share: who reaches whom over which routers, in both IP versions.

use xcluster_core::guest::exec::{self, Execution};
use xcluster_core::{Cluster, Command};

use crate::harness::run;
use crate::internal_net::Listener;

const ROUTERS: [u8; 2] = [201, 202];

pub(crate) async fn nodes_and_testers_have_a_route_over_every_router(cluster: &Cluster) {
    for (node, net) in [(1, 1), (2, 1), (221, 2)] {
        let v4 = run(cluster, node, "ip -o -4 route show default").await;
        let v6 = run(cluster, node, "ip -o -6 route show default").await;
        for router in ROUTERS {
            assert!(v4.contains(&format!("nexthop via 192.168.{net}.{router} dev eth1")), "{v4}");
            assert!(v6.contains(&format!("nexthop via 1000::1:c0a8:{net:x}{router:02x} dev eth1")), "{v6}");
        }
    }
}

pub(crate) async fn nodes_and_testers_reach_each_other(cluster: &Cluster) {
    for (from, to) in [(221, "192.168.1.1"), (221, "192.168.1.2"), (1, "192.168.2.221"), (2, "192.168.2.221")] {
        for address in [to.to_owned(), format!("1000::1:{to}")] {
            let answer = run(cluster, from, format!("ping -c1 -W5 {address}")).await;
            // A neighbour's answer has 64; a router takes one.
            assert!(answer.contains("ttl=63"), "{answer}");
        }
    }
}

/// A megabyte per IP version, compared at the other end, in so many flows that each router certainly gets some.
pub(crate) async fn flows_are_spread_over_the_routers(cluster: &Cluster) {
    let sums = cluster.node(1).unwrap().spawn("nc -ll -p 7000 -e sha256sum").await.unwrap();
    // Nothing tells when it listens. The command's own deadline ends the wait.
    run(cluster, 1, "until netstat -ltn | grep -q :7000; do usleep 50000; done").await;
    let sent = run(cluster, 221, "head -c 65536 /dev/urandom >/tmp/sent; sha256sum </tmp/sent").await;
    for (address, counter) in [("192.168.1.1", V4_FORWARDED), ("1000::1:192.168.1.1", V6_FORWARDED)] {
        let before = forwarded(cluster, counter).await;
        let flow = format!("nc {address} 7000 </tmp/sent | grep -q '{sent}' || exit 1");
        run(cluster, 221, format!("for flow in $(seq 16); do {flow}; done")).await;
        let after = forwarded(cluster, counter).await;
        for (before, after) in before.iter().zip(after) {
            assert!(after > before + 40, "a router had forwarded {before} packets before and {after} after");
        }
    }
    drop(sums);
}

/// Prints how many packets a router has forwarded.
const V4_FORWARDED: &str = "awk '/^Ip: [0-9]/ { print $7 }' /proc/net/snmp";
const V6_FORWARDED: &str = "awk '/^Ip6OutForwDatagrams/ { print $2 }' /proc/net/snmp6";

async fn forwarded(cluster: &Cluster, counter: &str) -> Vec<u64> {
    let mut counts = Vec::new();
    for router in ROUTERS {
        counts.push(run(cluster, router, counter).await.parse().expect("a number of packets"));
    }
    counts
}

/// The host has no route to a node's address on the cluster net, so an answer arrives only if the router translates the
/// address. The capture at the router shows the source that the host sees.
pub(crate) async fn what_leaves_for_the_host_has_the_routers_address(cluster: &Cluster) {
    for (listener, prefix, router) in
        [(Listener::v4().await, "", "192.168.0.201"), (Listener::v6().await, "1000::1:", "1000::1:c0a8:c9")]
    {
        let (host, port) = (format!("{prefix}192.168.0.250"), listener.port());
        let capture = Command::from(format!("tcpdump -n -l -c1 -i eth0 tcp dst port {port}"));
        let mut capture = cluster.node(201).unwrap().spawn(capture).await.unwrap();
        assert!(heard(&mut capture, "listening on eth0").await);
        run(cluster, 1, format!("ip route add {host} via {prefix}192.168.1.201 src {prefix}192.168.1.1")).await;
        assert_eq!(run(cluster, 1, format!("nc {host} {port} </dev/null")).await, listener.greeting());
        run(cluster, 1, format!("ip route del {host}")).await;
        assert!(heard(&mut capture, &format!(" {router}.")).await, "the source was not {router}");
    }
}

/// Whether a command says this before it ends.
async fn heard(execution: &mut Execution, text: &str) -> bool {
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains(text) {
        match execution.next().await.unwrap() {
            Some(exec::Event::Stdout(bytes) | exec::Event::Stderr(bytes)) => said.extend(bytes),
            _ => return false,
        }
    }
    true
}
