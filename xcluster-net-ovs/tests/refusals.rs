//! Errors before anything is made, and when Open vSwitch fails: their texts, places and remedies. None leaves anything.

mod fixture;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;
use xcluster_core::host::Namespace;
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{NetBackend, NetError, Settings};
use xcluster_core::testing::{TestFailure, ensure};
use xcluster_net_ovs::{OvsBackend, OvsConfig, OvsNet, OvsPort};

use fixture::{Fixture, check_links};

xcluster_core::harness![
    a_host_without_the_programs_is_told_how_to_install_them,
    a_host_with_some_of_the_programs_learns_which_are_missing,
    an_old_version_is_reported,
    another_program_of_the_same_name_is_reported,
    a_switch_that_does_not_start_says_why,
    a_switch_that_ends_at_once_says_why,
    files_of_rules_are_read_before_anything_is_made,
    everything_is_reported_at_once_with_its_place,
    settings_of_a_topology_are_checked_with_their_place,
    rules_that_the_switch_refuses_are_reported_and_nothing_is_left,
];

const INSTALL: &str = "sudo apt-get install --no-install-recommends openvswitch-switch";
const PROGRAMS: [&str; 5] = ["ovs-vswitchd", "ovsdb-tool", "ovsdb-server", "ovs-vsctl", "ovs-ofctl"];

/// A folder with links to the programs of this host, except some.
fn programs_without(missing: &[&str]) -> Result<TempDir, TestFailure> {
    let folder = tempfile::tempdir()?;
    for name in PROGRAMS.iter().filter(|name| !missing.contains(name)) {
        let found =
            ["/usr/bin", "/usr/sbin"].map(|from| Path::new(from).join(name)).into_iter().find(|path| path.exists());
        symlink(found.ok_or_else(|| TestFailure::new(format!("{name} is not installed")))?, folder.path().join(name))?;
    }
    Ok(folder)
}

/// The same, with a script in place of one program.
fn programs_with(name: &str, script: &str) -> Result<TempDir, TestFailure> {
    let folder = programs_without(&[name])?;
    let path = folder.path().join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// The error of a start, which leaves nothing.
async fn said(config: OvsConfig) -> Result<NetError, TestFailure> {
    let fixture = Fixture::here("refused", config, &[1, 2])?;
    let error = fixture.begin().await.err().ok_or_else(|| TestFailure::new("it is not refused"))?;
    fixture.end().await?;
    check_links(&Namespace::here(), &["lo"]).await?;
    let left = [fixture::processes("ovs-vswitchd"), fixture::processes("ovsdb-server")].concat();
    ensure(left.is_empty(), || format!("processes {left:?} are left"))?;
    Ok(error)
}

/// The error of a start and of `usable`, which must be the same.
async fn check(programs: &Path, expected: &str, remedy: Option<&str>) -> Result<(), TestFailure> {
    let config = OvsConfig::default().with_programs(programs);
    let asked = OvsBackend::new(config.clone()).usable().err().ok_or_else(|| TestFailure::new("it is usable"))?;
    for error in [said(config).await?, asked] {
        let found = (error.to_string(), error.remedy());
        ensure(found == (expected.to_owned(), remedy), || format!("{found:?}"))?;
    }
    Ok(())
}

async fn a_host_without_the_programs_is_told_how_to_install_them() -> Result<(), TestFailure> {
    let folder = tempfile::tempdir()?;
    let text = "Open vSwitch is not installed: there is no `ovs-vswitchd`, no `ovsdb-tool`, no `ovsdb-server`, no \
                `ovs-vsctl`, no `ovs-ofctl`";
    check(folder.path(), text, Some(INSTALL)).await
}

async fn a_host_with_some_of_the_programs_learns_which_are_missing() -> Result<(), TestFailure> {
    let folder = programs_without(&["ovs-vswitchd", "ovsdb-server"])?;
    let text = "Open vSwitch is installed in part: there is no `ovs-vswitchd`, no `ovsdb-server`";
    check(folder.path(), text, Some(INSTALL)).await
}

async fn an_old_version_is_reported() -> Result<(), TestFailure> {
    let folder = programs_with("ovs-vswitchd", "echo 'ovs-vswitchd (Open vSwitch) 2.9.8'")?;
    check(folder.path(), "Open vSwitch is 2.9, and at least 2.10 is needed", Some(INSTALL)).await
}

async fn another_program_of_the_same_name_is_reported() -> Result<(), TestFailure> {
    let folder = programs_with("ovs-vswitchd", "echo busybox")?;
    check(folder.path(), "`ovs-vswitchd` is not one of Open vSwitch: it says `busybox` of its version", None).await
}

async fn a_switch_that_does_not_start_says_why() -> Result<(), TestFailure> {
    let folder = programs_with("ovsdb-server", "echo 'ovsdb-server: the moon is full' >&2; exit 1")?;
    let text = said(OvsConfig::default().with_programs(folder.path())).await?.to_string();
    ensure(text == "the cluster's Open vSwitch has ended: the moon is full", || text.clone())
}

async fn a_switch_that_ends_at_once_says_why() -> Result<(), TestFailure> {
    let script = "case $1 in --version) echo 'ovs-vswitchd (Open vSwitch) 3.1.0' ;; *) exit 3 ;; esac";
    let folder = programs_with("ovs-vswitchd", script)?;
    let text = said(OvsConfig::default().with_programs(folder.path())).await?.to_string();
    ensure(text.starts_with("the cluster's Open vSwitch has ended: ") && text.contains("exit status 3"), || {
        text.clone()
    })
}

async fn files_of_rules_are_read_before_anything_is_made() -> Result<(), TestFailure> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rules");
    let fixture = || {
        Fixture::here("ruled", OvsConfig::default().with_net(NetId::CLUSTER, OvsNet::default().with_flows(&file)), &[1])
    };
    let refusal = async || match fixture()?.preflight().await {
        Err(NetError::Refused(text)) => Ok::<_, TestFailure>(text),
        other => Err(TestFailure::new(format!("{other:?}"))),
    };
    let at = "backend.ovs.net.1.flows: ";
    let shown = file.display();
    let text = refusal().await?;
    ensure(text == format!("{at}cannot read `{shown}`: No such file or directory (os error 2)"), || text.clone())?;
    fs::write(&file, "priority=1,actions=NORMAL\n\nin_port=1,actins=drop\n")?;
    let text = refusal().await?;
    let expected = format!("{at}`{shown}`, line 3: must specify an action: `in_port=1,actins=drop`");
    ensure(text == expected, || text.clone())?;
    // A user who may read every file gets the program's own error.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000))?;
    let text = refusal().await?;
    ensure(text.starts_with(at) && text.contains("Permission denied"), || text.clone())
}

async fn everything_is_reported_at_once_with_its_place() -> Result<(), TestFailure> {
    let missing = NodeId::new(9)?;
    let net = OvsNet::default().with_tag(5000).with_flows("/nowhere").with_node(missing, OvsPort::access(0));
    let text = said(OvsConfig::default().with_net(NetId::CLUSTER, net)).await?.to_string();
    let expected = "backend.ovs.net.1.tag: 5000 is not a VLAN: they are 1–4094; backend.ovs.net.1.node.9.tag: 0 is not a VLAN: \
                    they are 1–4094; backend.ovs.net.1.node.9: vm-009 is not on net 1; backend.ovs.net.1.flows: cannot \
                    read `/nowhere`: No such file or directory (os error 2)";
    ensure(text == expected, || text.clone())
}

async fn settings_of_a_topology_are_checked_with_their_place() -> Result<(), TestFailure> {
    let configured = |toml: &str| {
        let table: toml::Table = toml::from_str(toml)?;
        let settings = serde_json::to_value(table)?.as_object().cloned().unwrap_or_default();
        Ok::<_, TestFailure>(OvsBackend::default().configured(&Settings::from_iter(settings)))
    };
    let right = "instance = 'private'\n[net.1]\nmirror = true\ntag = 10\nflows = 'rules'\nfail_mode = 'secure'\n\
                 [net.1.node.201]\ntrunks = [10, 20]\n[[net.2.tunnel]]\ntype = 'vxlan'\nremote = '10.0.0.2'\nvni = 7\n";
    if let Err(problems) = configured(right)? {
        return Err(TestFailure::new(problems.to_string()));
    }
    let wrong = "instance = 'public'\n[net.1]\ntags = 10\n[net.1.node.300]\ntag = 1\n[[net.2.tunnel]]\ntype = 'gre'\n";
    let problems = configured(wrong)?.err().ok_or_else(|| TestFailure::new("it is taken"))?;
    let places: Vec<&str> = problems.iter().map(|problem| problem.place.as_str()).collect();
    ensure(places.contains(&"instance") && places.contains(&"net.1.tags"), || problems.to_string())?;
    let problems = configured("[net.1]\ntag = 4095\n")?.err().map(|problems| problems.to_string());
    ensure(problems.as_deref() == Some("net.1.tag: 4095 is not a VLAN: they are 1–4094"), || format!("{problems:?}"))
}

/// A valid rule that no switch with so few tables accepts.
async fn rules_that_the_switch_refuses_are_reported_and_nothing_is_left() -> Result<(), TestFailure> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("rules");
    fs::write(&file, "table=3,actions=NORMAL\nactions=group:77\n")?;
    let text =
        said(OvsConfig::default().with_net(NetId::CLUSTER, OvsNet::default().with_flows(&file))).await?.to_string();
    ensure(text.starts_with("the rules are refused: "), || text.clone())
}
