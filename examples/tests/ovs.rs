//! VLANs and OpenFlow rules on Open vSwitch, from a file.

use xcluster_core::topology::Topology;
use xcluster_core::{Cluster, Node};
use xcluster_net_ovs::OvsBackend;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[tokio::test]
async fn two_vlans_are_joined_by_a_router_that_sees_their_tags() -> Result<()> {
    let topology = Topology::from_toml(include_str!("../topologies/ovs.toml"))?;
    let builder = Cluster::builder().backend(OvsBackend::default()).topology(topology);
    Cluster::test(builder, async |cluster| {
        let (first, third, router) = (cluster.node(1)?, cluster.node(3)?, cluster.node(201)?);

        // Nodes hear each other if they are in the same VLAN, and only then.
        assert!(answers(&first, "arping -c 1 -w 5 -I eth1 192.168.1.2").await?);
        assert!(!answers(&first, "arping -c 1 -w 1 -I eth1 192.168.1.3").await?);

        // The router has a link for each tag, and routes between them.
        for (vlan, node) in [(10, &first), (20, &third)] {
            router
                .exec(format!(
                    "modprobe 8021q; ip link add link eth1 name eth1.{vlan} type vlan id {vlan} && \
                     ip link set eth1.{vlan} up && ip address add 10.0.{vlan}.1/24 dev eth1.{vlan}"
                ))
                .await?
                .ok()?;
            node.exec(format!(
                "ip address add 10.0.{vlan}.2/24 dev eth1 && ip route add 10.0.0.0/16 via 10.0.{vlan}.1"
            ))
            .await?
            .ok()?;
        }
        assert!(answers(&first, "ping -c 1 -W 5 10.0.20.2").await?);
        Ok(())
    })
    .await
}

/// Whether a command succeeds.
async fn answers(node: &Node, command: &str) -> Result<bool> {
    Ok(node.exec(command).await?.status.success())
}
