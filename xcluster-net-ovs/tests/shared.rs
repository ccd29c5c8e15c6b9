//! A private instance in a namespace that other programs use as well: killed owners, running clusters, foreign links. Each
//! test has such a namespace.

mod fixture;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xcluster_core::host::Namespace;
use xcluster_core::name::NetId;
use xcluster_core::net::{Net, NetBackend, NetError};
use xcluster_core::netlink::Netlink;
use xcluster_core::netlink::link::NewBridge;
use xcluster_core::testing::{TestFailure, ensure};
use xcluster_net_ovs::{OvsConfig, OvsNet};

use fixture::{Fixture, check_links};

xcluster_core::harness![
    what_a_killed_owner_left_is_taken_over,
    a_foreign_link_with_a_taps_name_is_a_conflict,
    a_foreign_link_with_the_datapaths_name_is_a_conflict,
    a_second_datapath_in_user_space_is_refused,
    links_have_the_documented_names_and_marks,
    the_end_of_the_switch_is_reported_and_everything_is_removed,
    a_port_is_added_to_a_net_that_is_there,
];

fn here() -> Namespace {
    Namespace::here()
}

/// The switch leaves its links when it is killed.
async fn what_a_killed_owner_left_is_taken_over() -> Result<(), TestFailure> {
    let mirrored = || OvsConfig::default().with_net(NetId::CLUSTER, OvsNet::default().with_mirror());
    let killed = Fixture::here("killed", mirrored(), &[1])?;
    killed.begin().await?;
    let pids = switch_pids();
    drop(killed);
    fixture::are_gone(&pids).await?;
    check_links(&here(), &["lo", "ovs-netdev", "xcbr1", "xcbr1_cap"]).await?;
    let fixture = Fixture::here("heir", mirrored(), &[1, 2])?;
    fixture.begin().await?;
    check_links(&here(), &["lo", "ovs-netdev", "xcbr1", "xcbr1_cap", "xcbr1_t1", "xcbr1_t2"]).await?;
    fixture.end().await?;
    check_links(&here(), &["lo"]).await
}

fn switch_pids() -> Vec<i32> {
    fixture::processes("ovs-vswitchd").into_iter().chain(fixture::processes("ovsdb-server")).collect()
}

/// A foreign link.
async fn plant(name: &str) -> Result<(), TestFailure> {
    let bridge = NewBridge { name, group: 0, address: [2, 0, 0, 0, 0, 1], forward_link_local: 0 };
    Ok(Netlink::connect(&here())?.make_bridge(&bridge).await?)
}

async fn conflict(name: &str) -> Result<(), TestFailure> {
    plant(name).await?;
    let fixture = Fixture::here("displaced", OvsConfig::default(), &[1, 2])?;
    let begun = fixture.begin().await;
    let reported = matches!(&begun, Err(NetError::Conflict { object }) if object == name);
    ensure(reported, || format!("{begun:?}"))?;
    fixture.end().await?;
    check_links(&here(), &["lo", name]).await
}

async fn a_foreign_link_with_a_taps_name_is_a_conflict() -> Result<(), TestFailure> {
    conflict("xcbr1_t2").await
}

async fn a_foreign_link_with_the_datapaths_name_is_a_conflict() -> Result<(), TestFailure> {
    conflict("ovs-netdev").await
}

async fn a_second_datapath_in_user_space_is_refused() -> Result<(), TestFailure> {
    let first = Fixture::here("first", OvsConfig::default(), &[1])?;
    first.begin().await?;
    let mut second = Fixture::here("second", OvsConfig::default(), &[])?;
    second.net = Net::new(NetId::new(7));
    let said = second.begin().await.err().map(|error| error.to_string()).unwrap_or_default();
    let pid = std::process::id();
    let expected = format!("the namespace's one datapath in user space is in use by the cluster of process {pid}");
    ensure(said == expected, || said.clone())?;
    second.end().await?;
    first.end().await?;
    second.begin().await?;
    Ok(second.end().await?)
}

async fn links_have_the_documented_names_and_marks() -> Result<(), TestFailure> {
    let fixture = Fixture::here("marked", OvsConfig::default(), &[1])?;
    fixture.begin().await?;
    let (netlink, user) = (Netlink::connect(&here())?, nix::unistd::getuid());
    for (name, mark) in [("xcbr1", "net 1"), ("xcbr1_t1", "net 1, vm-001")] {
        let mark = format!("xcluster: {mark} of cluster marked of uid {user}");
        let link = netlink.link(name).await?.ok_or_else(|| TestFailure::new(format!("there is no {name}")))?;
        ensure(link.alias == mark && link.up && link.mtu == 1500, || format!("{link:?}"))?;
    }
    Ok(fixture.end().await?)
}

async fn the_end_of_the_switch_is_reported_and_everything_is_removed() -> Result<(), TestFailure> {
    let fixture = Fixture::here("bereft", OvsConfig::default(), &[1, 2])?;
    fixture.preflight().await?;
    let context = fixture.test_context.context();
    fixture.backend.create_net(&context, &fixture.net).await?;
    fixture.backend.setup(&context, &fixture.ports[0]).await?;
    let pids = switch_pids();
    kill(Pid::from_raw(fixture::processes("ovs-vswitchd")[0]), Signal::SIGKILL)?;
    fixture::are_gone(&pids).await?;
    let said = match fixture.backend.setup(&context, &fixture.ports[1]).await {
        Ok(_) => "nothing".to_owned(),
        Err(error) => error.to_string(),
    };
    ensure(said.starts_with("the cluster's Open vSwitch has ended: ") && said.contains("killed"), || said.clone())?;
    fixture.end().await?;
    check_links(&here(), &["lo"]).await?;
    // A cluster that starts again gets a new switch.
    fixture.begin().await?;
    fixture.end().await?;
    check_links(&here(), &["lo"]).await
}

async fn a_port_is_added_to_a_net_that_is_there() -> Result<(), TestFailure> {
    let mut fixture = Fixture::here("growing", OvsConfig::default(), &[1])?;
    fixture.begin().await?;
    let more = Fixture::here("other", OvsConfig::default(), &[2])?;
    fixture.ports.extend(more.ports.clone());
    fixture.preflight().await?;
    let port_config = fixture.set_up().await?;
    ensure(port_config.len() == 2, || format!("{port_config:?}"))?;
    fixture.end().await?;
    check_links(&here(), &["lo"]).await
}
