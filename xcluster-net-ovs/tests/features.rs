//! Features of nets: VLANs, a copy of all frames, rules. Each test has an Open vSwitch.

mod fixture;

use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::HostAccess;
use xcluster_core::testing::{TestFailure, ensure};
use xcluster_net_ovs::{FailMode, OvsConfig, OvsNet, OvsPort};

use fixture::{EVERYONE, Fixture, LLDP, Packets, Tap, frame, typed};

xcluster_core::harness![
    lldp_passes,
    tagged_frames_pass_with_their_tag,
    nodes_hear_each_other_within_their_vlan_alone,
    a_trunk_has_the_tags_of_its_vlans_and_no_others,
    a_trunk_with_a_tag_of_its_own_has_that_vlan_untagged,
    a_net_in_a_vlan_has_its_host,
    the_copy_has_every_frame_once,
    rules_are_obeyed,
    without_rules_a_secure_net_passes_nothing,
    a_file_of_rules_has_the_nodes_numbers,
];

fn config(net: OvsNet) -> OvsConfig {
    OvsConfig::default().with_net(NetId::CLUSTER, net)
}

fn node(number: u16) -> NodeId {
    NodeId::new(number).expect("it is a node")
}

async fn lldp_passes() -> Result<(), TestFailure> {
    let fixture = Fixture::private("lldp", OvsConfig::default(), &[1, 2])?;
    let taps = fixture.taps().await?;
    let lldp = typed(1, [0x01, 0x80, 0xc2, 0, 0, 0x0e], None, &LLDP, 1);
    taps[0].send(&lldp)?;
    taps[1].gets(&lldp)?;
    Ok(fixture.end().await?)
}

async fn tagged_frames_pass_with_their_tag() -> Result<(), TestFailure> {
    let fixture = Fixture::private("tagged", OvsConfig::default(), &[1, 2])?.with_mtu(9000);
    let taps = fixture.taps().await?;
    for vlan in [100, 4094] {
        taps[0].send(&frame(1, EVERYONE, Some(vlan), 1))?;
        taps[1].gets(&frame(1, EVERYONE, Some(vlan), 1))?;
    }
    // A tag does not count as payload.
    let mut whole = frame(1, EVERYONE, Some(7), 1);
    whole.resize(9000 + 14 + 4, 9);
    taps[0].send(&whole)?;
    taps[1].gets(&whole)?;
    Ok(fixture.end().await?)
}

/// A node that must not hear a frame gets another one afterwards, which then arrives first.
async fn nodes_hear_each_other_within_their_vlan_alone() -> Result<(), TestFailure> {
    let net = OvsNet::default()
        .with_node(node(1), OvsPort::access(10))
        .with_node(node(2), OvsPort::access(10))
        .with_node(node(3), OvsPort::access(20))
        .with_node(node(4), OvsPort::access(20));
    let fixture = Fixture::private("vlans", config(net), &[1, 2, 3, 4])?;
    let taps = fixture.taps().await?;
    taps[0].send(&frame(1, EVERYONE, None, 1))?;
    taps[1].gets(&frame(1, EVERYONE, None, 1))?;
    taps[2].send(&frame(3, EVERYONE, None, 2))?;
    taps[3].gets(&frame(3, EVERYONE, None, 2))?;
    taps[1].send(&frame(2, EVERYONE, None, 3))?;
    taps[0].gets(&frame(2, EVERYONE, None, 3))?;
    Ok(fixture.end().await?)
}

async fn a_trunk_has_the_tags_of_its_vlans_and_no_others() -> Result<(), TestFailure> {
    let net = OvsNet::default()
        .with_node(node(1), OvsPort::access(10))
        .with_node(node(2), OvsPort::access(20))
        .with_node(node(3), OvsPort::access(30))
        .with_node(node(201), OvsPort::trunk([10, 20]));
    let fixture = Fixture::private("trunk", config(net), &[1, 2, 3, 201])?;
    let taps = fixture.taps().await?;
    taps[2].send(&frame(3, EVERYONE, None, 3))?;
    taps[0].send(&frame(1, EVERYONE, None, 1))?;
    taps[3].gets(&frame(1, EVERYONE, Some(10), 1))?;
    taps[1].send(&frame(2, EVERYONE, None, 2))?;
    taps[3].gets(&frame(2, EVERYONE, Some(20), 2))?;
    // Frames without a tag or with another tag do not pass.
    taps[3].send(&frame(201, EVERYONE, None, 4))?;
    taps[3].send(&frame(201, EVERYONE, Some(30), 5))?;
    taps[3].send(&frame(201, EVERYONE, Some(20), 6))?;
    taps[1].gets(&frame(201, EVERYONE, None, 6))?;
    taps[3].send(&frame(201, EVERYONE, Some(10), 7))?;
    taps[0].gets(&frame(201, EVERYONE, None, 7))?;
    Ok(fixture.end().await?)
}

async fn a_trunk_with_a_tag_of_its_own_has_that_vlan_untagged() -> Result<(), TestFailure> {
    let net = OvsNet::default()
        .with_node(node(1), OvsPort::access(10))
        .with_node(node(2), OvsPort::access(20))
        .with_node(node(201), OvsPort::trunk([20]).with_tag(10));
    let fixture = Fixture::private("native", config(net), &[1, 2, 201])?;
    let taps = fixture.taps().await?;
    taps[0].send(&frame(1, EVERYONE, None, 1))?;
    taps[2].gets(&frame(1, EVERYONE, None, 1))?;
    taps[1].send(&frame(2, EVERYONE, None, 2))?;
    taps[2].gets(&frame(2, EVERYONE, Some(20), 2))?;
    taps[2].send(&frame(201, EVERYONE, None, 3))?;
    taps[0].gets(&frame(201, EVERYONE, None, 3))?;
    Ok(fixture.end().await?)
}

async fn a_net_in_a_vlan_has_its_host() -> Result<(), TestFailure> {
    let net = OvsNet::default().with_tag(10).with_node(node(3), OvsPort::access(20));
    let fixture = Fixture::private("hosted", config(net), &[1, 2, 3])?;
    let port_configs = fixture.begin().await?;
    let ip = fixture.ports[0].ipv4().into();
    ensure(port_configs[0].access == HostAccess::Inside(ip), || format!("{:?}", port_configs[0].access))?;
    ensure(port_configs[2].access == HostAccess::None, || format!("{:?}", port_configs[2].access))?;
    // The host asks for node 1. All nodes of its VLAN hear that, without a tag.
    let namespace = fixture.test_context.namespace().expect("there is one").clone();
    let to = std::net::SocketAddr::new(ip, 7);
    let search = tokio::spawn(async move { namespace.connect(to).await.map(drop) });
    // Lets the host's program start, because waiting for a frame blocks this thread.
    tokio::task::yield_now().await;
    let tap = Tap::of(&port_configs[1])?;
    tokio::task::spawn_blocking(move || tap.gets_search_of_host()).await??;
    search.abort();
    Ok(fixture.end().await?)
}

async fn the_copy_has_every_frame_once() -> Result<(), TestFailure> {
    let fixture = Fixture::private("copied", config(OvsNet::default().with_mirror()), &[1, 2, 3])?;
    let taps = fixture.taps().await?;
    let copy = Packets::open(fixture.test_context.namespace().expect("there is one"), "xcbr1_cap").await?;
    for number in 1..=3 {
        taps[0].send(&frame(1, EVERYONE, None, number))?;
        taps[1].gets(&frame(1, EVERYONE, None, number))?;
        copy.gets(&frame(1, EVERYONE, None, number))?;
    }
    // Including unicast frames, in both directions.
    taps[1].send(&frame(2, [0, 0, 0, 1, 1, 1], None, 4))?;
    taps[0].gets(&frame(2, [0, 0, 0, 1, 1, 1], None, 4))?;
    copy.gets(&frame(2, [0, 0, 0, 1, 1, 1], None, 4))?;
    Ok(fixture.end().await?)
}

async fn rules_are_obeyed() -> Result<(), TestFailure> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("rules");
    std::fs::write(&file, "# No node hears node 1.\npriority=10,in_port=1,actions=drop\n")?;
    let fixture = Fixture::private("ruled", config(OvsNet::default().with_flows(&file)), &[1, 2, 3])?;
    let taps = fixture.taps().await?;
    taps[0].send(&frame(1, EVERYONE, None, 1))?;
    taps[2].send(&frame(3, EVERYONE, None, 3))?;
    taps[1].gets(&frame(3, EVERYONE, None, 3))?;
    taps[0].gets(&frame(3, EVERYONE, None, 3))?;
    Ok(fixture.end().await?)
}

async fn without_rules_a_secure_net_passes_nothing() -> Result<(), TestFailure> {
    let net = OvsNet::default().with_fail_mode(FailMode::Secure);
    let fixture = Fixture::private("secure", config(net), &[1, 2])?;
    let taps = fixture.taps().await?;
    taps[0].send(&frame(1, EVERYONE, None, 1))?;
    ensure(taps[1].is_silent()?, || "a frame passes".to_owned())?;
    Ok(fixture.end().await?)
}

async fn a_file_of_rules_has_the_nodes_numbers() -> Result<(), TestFailure> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("rules");
    std::fs::write(&file, "in_port=1,actions=output:201\nin_port=201,actions=output:221,LOCAL\n")?;
    let net = OvsNet::default().with_flows(&file).with_fail_mode(FailMode::Secure);
    let fixture = Fixture::private("numbers", config(net), &[1, 2, 201, 221])?;
    let taps = fixture.taps().await?;
    taps[0].send(&frame(1, EVERYONE, None, 1))?;
    taps[2].gets(&frame(1, EVERYONE, None, 1))?;
    taps[2].send(&frame(201, EVERYONE, None, 2))?;
    taps[3].gets(&frame(201, EVERYONE, None, 2))?;
    ensure(taps[1].is_silent()?, || "node 2 hears what no rule sends to it".to_owned())?;
    Ok(fixture.end().await?)
}
