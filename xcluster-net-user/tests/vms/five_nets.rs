//! More nets per role than the default, in another order, and nodes that differ from their role.

use xcluster_core::Cluster;
use xcluster_core::topology::Topology;

use crate::harness::{attempt, builder, expectations, run, scenario};

/// Five nets, of which nodes have four and routers five, in different orders. Node 2 is larger, and on fewer nets.
const TOPOLOGY: &str = r#"
    ipv6_prefix = "fd00:cafe:"
    mtu = 1400

    [net.4]
    mtu = 1300

    [role.workers]
    count = 2
    nets = [0, 3, 1, 4]

    [role.routers]
    count = 1
    nets = [0, 1, 2, 4, 3]

    [node.2]
    nets = [0, 4]
    memory = 192
    cpus = 1
    kernel_args = "my.argument=7"

    [[route]]
    on = "workers"
    to = 2
    via = [{ net = 4, node = 201 }]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_has_the_nets_that_it_is_given() {
    let topology: Topology = Topology::from_toml(TOPOLOGY).unwrap();
    scenario(builder().topology(topology), async |cluster| {
        expectations!(cluster;
            the_order_of_the_nets_makes_the_nics,
            each_nic_has_the_mtu_of_its_net,
            each_net_joins_its_members_and_nobody_else,
            a_node_is_as_its_own_specification_says,
            every_route_has_its_ipv6_twin,
            a_prefix_of_ones_own_is_used_on_every_net,
        );
    })
    .await;
}

async fn the_order_of_the_nets_makes_the_nics(cluster: &Cluster) {
    for (node, nets) in [(1, &[0, 3, 1, 4][..]), (2, &[0, 4]), (201, &[0, 1, 2, 4, 3])] {
        for (index, net) in nets.iter().enumerate() {
            let nic =
                run(cluster, node, format!("ip -br -4 address show eth{index}; ip -br link show eth{index}")).await;
            assert!(nic.contains(&format!(" 192.168.{net}.{node}/24")), "{nic}");
            assert!(nic.contains(&format!(" 00:00:00:01:{net:02x}:{node:02x}")), "{nic}");
        }
    }
}

async fn each_nic_has_the_mtu_of_its_net(cluster: &Cluster) {
    assert_eq!(
        run(cluster, 1, "cd /sys/class/net; cat eth0/mtu eth1/mtu eth2/mtu eth3/mtu").await,
        "1400\n1400\n1400\n1300"
    );
}

async fn each_net_joins_its_members_and_nobody_else(cluster: &Cluster) {
    for (from, net, to) in [(1, 3, 201), (1, 1, 201), (1, 4, 2), (2, 4, 201)] {
        run(cluster, from, format!("ping -c1 -W5 192.168.{net}.{to}")).await;
    }
    // Node 201 also hears this request, but by a NIC on another net, so nothing answers.
    let other = attempt(cluster, 1, "arping -c1 -w1 -I eth1 192.168.4.2").await;
    assert!(!other.status.success(), "{}", other.text());
}

async fn a_node_is_as_its_own_specification_says(cluster: &Cluster) {
    let mut memory = Vec::new();
    for (node, cpus) in [(1, "2"), (2, "1")] {
        assert_eq!(run(cluster, node, "nproc").await, cpus);
        let total = run(cluster, node, "awk '/MemTotal/ { print $2 }' /proc/meminfo").await;
        memory.push(total.parse::<u32>().unwrap());
    }
    assert!(memory[1] > memory[0] + 60_000, "{memory:?} KiB");
    assert!(run(cluster, 2, "cat /proc/cmdline").await.contains("my.argument=7"));
    assert!(!run(cluster, 1, "cat /proc/cmdline").await.contains("my.argument"));
}

async fn every_route_has_its_ipv6_twin(cluster: &Cluster) {
    for node in [1, 2] {
        for address in ["192.168.2.201", "fd00:cafe::192.168.2.201"] {
            let route = run(cluster, node, format!("ip route get {address}")).await;
            assert!(route.contains(" via "), "{route}");
            run(cluster, node, format!("ping -c1 -W5 {address}")).await;
        }
    }
}

async fn a_prefix_of_ones_own_is_used_on_every_net(cluster: &Cluster) {
    for (from, to) in [(1, "3.201"), (1, "1.201"), (1, "4.2"), (1, "0.250")] {
        run(cluster, from, format!("ping -c1 -W5 fd00:cafe::192.168.{to}")).await;
    }
}
