//! A cluster on [a backend of one's own](../my-switch/src/lib.rs), with settings in the topology. The backend gives the host no
//! access to its nets, so another backend carries the internal net, which logins need.

use my_switch::SwitchBackend;
use xcluster_core::Cluster;
use xcluster_core::topology::Topology;
use xcluster_net_user::UserBackend;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A short queue loses frames, so that TCP must send some again.
const TOPOLOGY: &str = "
    [net.0]
    backend = 'user'

    [role.workers]
    count = 2

    [role.routers]
    count = 0

    [backend.switch]
    queue = 8
";

#[tokio::test]
async fn the_switch_carries_megabytes() -> Result<()> {
    let builder = Cluster::builder().backend(SwitchBackend::default()).backend(UserBackend::default());
    let cluster = Cluster::start(builder.topology(Topology::from_toml(TOPOLOGY)?)).await?;
    let (first, second) = (cluster.node(1)?, cluster.node(2)?);

    let _sink = second.spawn("nc -ll -p 7000 -e sha256sum").await?;
    second.exec("until netstat -ltn | grep -q :7000; do usleep 50000; done").await?.ok()?;
    first.exec("head -c 10000000 /dev/urandom >/tmp/sent").await?.ok()?;
    let sent = first.exec("sha256sum </tmp/sent").await?.ok()?;
    for address in ["192.168.1.2", "1000::1:192.168.1.2"] {
        let arrived = first.exec(format!("nc {address} 7000 </tmp/sent")).await?.ok()?;
        assert_eq!(arrived.text(), sent.text(), "to {address}");
    }

    // On the internal net the host reaches the nodes, and they do not reach each other.
    assert!(first.address(22).await?.is_some());
    assert!(!first.exec("ping -c1 -W1 192.168.0.2").await?.status.success());
    Ok(())
}

#[test]
fn a_setting_that_the_switch_does_not_take_is_reported_with_its_place() -> Result<()> {
    let topology = Topology::from_toml("[backend.switch]\nqueue = 0\nspeed = 9")?;
    let planned = Cluster::builder().backend(SwitchBackend::default()).topology(topology).plan();
    let said = planned.err().ok_or("the settings were accepted")?.to_string();
    assert!(said.contains("backend.switch.queue") && said.contains("backend.switch.speed"), "{said}");
    Ok(())
}
