//! The host's Open vSwitch: the objects of clusters in it, and when they are removed. Each test has a host with one.

mod fixture;

use tempfile::TempDir;
use xcluster_core::host::Namespace;
use xcluster_core::name::{ClusterName, NetId};
use xcluster_core::net::{HostAccess, Net, NetBackend, NetError};
use xcluster_core::testing::{TestFailure, ensure};
use xcluster_net_ovs::testing::{HostSwitch, bridge_name, vsctl};
use xcluster_net_ovs::{OvsBackend, OvsConfig, OvsNet, gc};

use fixture::{Fixture, check_links};

xcluster_core::harness![
    rows_and_links_have_the_documented_names_and_marks,
    what_a_killed_owner_left_is_removed_by_the_next_start,
    what_a_killed_owner_left_can_be_removed,
    a_killed_cluster_can_be_started_again_under_its_name,
    gc_leaves_the_living_and_foreign_bridges_alone,
    a_foreign_port_with_a_taps_name_is_a_conflict,
    a_net_that_another_cluster_has_its_host_on_is_in_use,
    a_database_that_is_gone_is_reported_and_taps_are_removed,
    a_host_without_open_vswitch_is_told_what_to_start,
    a_copy_of_all_frames_is_in_the_hosts_namespace,
];

/// A host.
struct Host {
    switch: HostSwitch,
    dir: TempDir,
}

impl Host {
    async fn new() -> Result<Self, TestFailure> {
        let dir = tempfile::tempdir()?;
        Ok(Self { switch: HostSwitch::start(dir.path()).await?, dir })
    }

    fn config(&self) -> OvsConfig {
        OvsConfig::default().on_system(self.switch.db())
    }

    async fn ask(&self, args: &[&str]) -> Result<String, TestFailure> {
        Ok(vsctl(self.switch.db(), args).await?.trim().to_owned())
    }

    fn fixture(&self, name: &str, nodes: &[u16]) -> Result<Fixture, TestFailure> {
        Fixture::here(name, self.config(), nodes)
    }
}

fn bridge(cluster: &str) -> String {
    bridge_name(&ClusterName::new(cluster).expect("it is a name"), NetId::CLUSTER)
}

async fn rows_and_links_have_the_documented_names_and_marks() -> Result<(), TestFailure> {
    let (host, name) = (Host::new().await?, bridge("lab"));
    let fixture = host.fixture("lab", &[3])?;
    let port_configs = fixture.begin().await?;
    ensure(port_configs[0].access == HostAccess::Direct(fixture.ports[0].ipv4().into()), || {
        format!("{:?}", port_configs[0].access)
    })?;
    let tap = format!("{name}_t3");
    check_links(&Namespace::here(), &["lo", "ovs-netdev", &name, &tap]).await?;
    let user = nix::unistd::getuid();
    let netns = Namespace::here().id()?;
    let ids = host.ask(&["get", "Bridge", &name, "external_ids"]).await?;
    let expected =
        format!("{{xcluster-cluster=lab, xcluster-net=\"1\", xcluster-netns=\"{netns}\", xcluster-uid=\"{user}\"}}");
    ensure(ids == expected, || format!("{ids} instead of {expected}"))?;
    let ids = host.ask(&["get", "Port", &tap, "external_ids:xcluster-node"]).await?;
    ensure(ids == "\"3\"", || ids.clone())?;
    let port = host.ask(&["get", "Interface", &tap, "ofport"]).await?;
    ensure(port == "3", || port.clone())?;
    fixture.end().await?;
    ensure(host.ask(&["list-br"]).await?.is_empty(), || "a bridge is left".to_owned())?;
    check_links(&Namespace::here(), &["lo"]).await
}

/// What the kernel does when an owner is killed: it closes descriptors.
async fn kill(host: &Host, name: &str) -> Result<(), TestFailure> {
    let fixture = host.fixture(name, &[1, 2])?;
    fixture.begin().await?;
    drop(fixture);
    let left = host.ask(&["list-br"]).await?;
    ensure(left == bridge(name), || format!("`{left}` is left"))
}

async fn what_a_killed_owner_left_is_removed_by_the_next_start() -> Result<(), TestFailure> {
    let host = Host::new().await?;
    kill(&host, "killed").await?;
    let fixture = host.fixture("heir", &[1])?;
    fixture.begin().await?;
    let there = host.ask(&["list-br"]).await?;
    ensure(there == bridge("heir"), || there.clone())?;
    fixture.end().await?;
    check_links(&Namespace::here(), &["lo"]).await
}

async fn what_a_killed_owner_left_can_be_removed() -> Result<(), TestFailure> {
    let host = Host::new().await?;
    kill(&host, "killed").await?;
    let removed = gc(&host.config()).await?;
    ensure(removed == [bridge("killed")], || format!("{removed:?}"))?;
    let removed = OvsBackend::new(host.config()).gc().await?;
    ensure(removed.is_empty(), || format!("{removed:?}"))?;
    ensure(host.ask(&["list-br"]).await?.is_empty(), || "a bridge is left".to_owned())?;
    check_links(&Namespace::here(), &["lo"]).await
}

/// Also with fewer nets than before.
async fn a_killed_cluster_can_be_started_again_under_its_name() -> Result<(), TestFailure> {
    let host = Host::new().await?;
    let mut more = host.fixture("phoenix", &[])?;
    more.net = Net::new(NetId::new(7));
    more.begin().await?;
    drop(more);
    let fixture = host.fixture("phoenix", &[1])?;
    fixture.begin().await?;
    let there = host.ask(&["list-br"]).await?;
    ensure(there == bridge("phoenix"), || there.clone())?;
    Ok(fixture.end().await?)
}

async fn gc_leaves_the_living_and_foreign_bridges_alone() -> Result<(), TestFailure> {
    let host = Host::new().await?;
    let living = host.fixture("living", &[1])?;
    living.begin().await?;
    let (user, netns) = (nix::unistd::getuid().as_raw(), Namespace::here().id()?);
    for (name, user, netns) in [("others", user + 1, netns), ("elsewhere", user, netns + 1)] {
        let ids = [
            "external_ids:xcluster-cluster=dead".to_owned(),
            format!("external_ids:xcluster-uid=\"{user}\""),
            format!("external_ids:xcluster-netns=\"{netns}\""),
        ];
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let add = ["add-br", name, "--", "set", "Bridge", name, "datapath_type=netdev"];
        host.ask(&[&add[..], &ids].concat()).await?;
    }
    host.ask(&["add-br", "own", "--", "set", "Bridge", "own", "datapath_type=netdev"]).await?;
    let removed = gc(&host.config()).await?;
    ensure(removed.is_empty(), || format!("{removed:?} were removed"))?;
    let there = host.ask(&["list-br"]).await?;
    ensure(there.lines().count() == 4, || there.clone())?;
    ensure(living.set_up().await?.len() == 1, || "it was harmed".to_owned())?;
    Ok(living.end().await?)
}

async fn a_foreign_port_with_a_taps_name_is_a_conflict() -> Result<(), TestFailure> {
    let (host, tap) = (Host::new().await?, format!("{}_t2", bridge("displaced")));
    host.ask(&["add-br", "own", "--", "set", "Bridge", "own", "datapath_type=netdev"]).await?;
    host.ask(&["add-port", "own", &tap, "--", "set", "Interface", &tap, "type=internal"]).await?;
    let fixture = host.fixture("displaced", &[1, 2])?;
    let begun = fixture.begin().await;
    let reported = matches!(&begun, Err(NetError::Conflict { object }) if *object == tap);
    ensure(reported, || format!("{begun:?}"))?;
    fixture.end().await?;
    let there = host.ask(&["list-ports", "own"]).await?;
    ensure(there == tap, || there.clone())
}

async fn a_net_that_another_cluster_has_its_host_on_is_in_use() -> Result<(), TestFailure> {
    let host = Host::new().await?;
    let (first, second) = (host.fixture("first", &[1])?, host.fixture("second", &[1])?);
    first.begin().await?;
    let said = second.begin().await.err().map(|error| error.to_string()).unwrap_or_default();
    let expected = format!("the host's address on net 1 is in use by the cluster of process {}", std::process::id());
    ensure(said == expected, || said.clone())?;
    // Without the host on the nets, both clusters are possible.
    let third = Fixture::here("third", host.config().without_host(), &[1])?;
    let port_configs = third.begin().await?;
    ensure(port_configs[0].access == HostAccess::None, || format!("{:?}", port_configs[0].access))?;
    third.end().await?;
    first.end().await?;
    second.begin().await?;
    Ok(second.end().await?)
}

async fn a_database_that_is_gone_is_reported_and_taps_are_removed() -> Result<(), TestFailure> {
    let host = Host::new().await?;
    let fixture = host.fixture("bereft", &[1])?;
    fixture.begin().await?;
    host.switch.end().await?;
    let context = fixture.test_context.context();
    let more = host.fixture("bereft", &[2])?;
    ensure(fixture.backend.setup(&context, &more.ports[0]).await.is_err(), || "a port was made".to_owned())?;
    // The row stays until the database answers again.
    ensure(fixture.backend.teardown(&context, &fixture.ports[0]).await.is_err(), || {
        "no error was reported".to_owned()
    })?;
    ensure(fixture.backend.delete_net(&context, &fixture.net).await.is_err(), || "no error was reported".to_owned())?;
    drop(fixture);
    check_links(&Namespace::here(), &["lo", "ovs-netdev"]).await?;
    let again = HostSwitch::start(host.dir.path()).await?;
    let removed = gc(&host.config()).await?;
    ensure(removed == [bridge("bereft")], || format!("{removed:?}"))?;
    Ok(again.end().await?)
}

async fn a_host_without_open_vswitch_is_told_what_to_start() -> Result<(), TestFailure> {
    let dir = tempfile::tempdir()?;
    let config = OvsConfig::default().on_system(HostSwitch::db_in(dir.path()));
    let fixture = Fixture::here("lost", config.clone(), &[1])?;
    for error in [fixture.preflight().await.err(), OvsBackend::new(config).usable().err()] {
        let error = error.ok_or_else(|| TestFailure::new("it is usable"))?;
        let said = error.to_string();
        ensure(said.starts_with("the host's Open vSwitch cannot be asked at `unix:"), || said.clone())?;
        let remedy = error.remedy();
        ensure(remedy == Some("sudo systemctl start openvswitch-switch"), || format!("{remedy:?}"))?;
    }
    Ok(())
}

async fn a_copy_of_all_frames_is_in_the_hosts_namespace() -> Result<(), TestFailure> {
    let host = Host::new().await?;
    let config = host.config().with_net(NetId::CLUSTER, OvsNet::default().with_mirror());
    let fixture = Fixture::here("copied", config, &[1, 2])?;
    let taps = fixture.taps().await?;
    let name = bridge("copied");
    let copy = fixture::Packets::open(&Namespace::here(), &format!("{name}_cap")).await?;
    taps[0].send(&fixture::frame(1, fixture::EVERYONE, None, 1))?;
    copy.gets(&fixture::frame(1, fixture::EVERYONE, None, 1))?;
    fixture.end().await?;
    check_links(&Namespace::here(), &["lo"]).await
}
