//! A topology from a file: five nets, each for some nodes only, and a route that differs from the default.

use xcluster_core::topology::Topology;
use xcluster_core::{Cluster, Node};
use xcluster_net_user::UserBackend;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::test]
async fn a_file_sets_the_nets_of_each_node() -> Result<()> {
    let topology = Topology::from_toml(include_str!("../topologies/five-nets.toml"))?;
    let builder = Cluster::builder().backend(UserBackend::default()).topology(topology);
    Cluster::test(builder, async |cluster| {
        let (first, router, tester) = (cluster.node(1)?, cluster.node(201)?, cluster.node(221)?);

        // The order of a node's nets is the order of its NICs.
        assert_eq!(addresses(&first).await?, ["192.168.0.1/24", "192.168.1.1/24", "192.168.3.1/24"]);
        assert_eq!(
            addresses(&router).await?,
            ["192.168.0.201/24", "192.168.1.201/24", "192.168.2.201/24", "192.168.4.201/24"]
        );
        assert_eq!(addresses(&tester).await?, ["192.168.0.221/24", "192.168.2.221/24", "192.168.4.221/24"]);

        // The storage net joins the nodes, with another MTU.
        assert_eq!(first.exec("cat /sys/class/net/eth2/mtu").await?.ok()?.text(), "1400");
        assert!(pings(&first, "192.168.3.2").await? && pings(&first, "1000::1:192.168.3.2").await?);

        // The tester's route to the nodes is over net 4, in both IP versions.
        let route = tester.exec("ip route get 192.168.1.2; ip route get 1000::1:192.168.1.2").await?.ok()?;
        let (v4, v6) =
            route.text().split_once("\n1000::").map(|(a, b)| (a.to_owned(), b.to_owned())).ok_or("two routes")?;
        assert!(v4.contains("via 192.168.4.201") && v6.contains("via 1000::1:c0a8:4c9"), "{v4}\n{v6}");
        assert!(pings(&tester, "192.168.1.2").await? && pings(&tester, "1000::1:192.168.1.2").await?);
        Ok(())
    })
    .await
}

/// The node's IPv4 addresses, eth0's first.
async fn addresses(node: &Node) -> Result<Vec<String>> {
    let listed = node.exec("ip -4 -br address show scope global").await?.ok()?;
    let third = |line: &str| line.split_whitespace().nth(2).map(str::to_owned);
    Ok(listed.text().lines().filter_map(third).collect())
}

/// Whether an address answers within five seconds.
async fn pings(node: &Node, address: &str) -> Result<bool> {
    Ok(node.exec(format!("ping -c 1 -W 5 {address}")).await?.status.success())
}
