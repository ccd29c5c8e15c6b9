//! A test of ten lines: two real VMs, a ping, and nothing left behind.

use xcluster_core::Cluster;
use xcluster_net_user::UserBackend;

#[tokio::test]
async fn two_nodes_ping_each_other() -> Result<(), Box<dyn std::error::Error>> {
    let two = Cluster::builder().backend(UserBackend::default()).nodes(2);
    Cluster::test(two, async |cluster| {
        let ping = cluster.node(1)?.exec("ping -c 3 192.168.1.2").await?.ok()?;
        assert!(ping.text().contains("3 packets received"), "{}", ping.text());
        Ok(())
    })
    .await
}
