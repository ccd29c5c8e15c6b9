//! Obstacles, and namespaces of other users.

use std::fs::{self, File};

use xcluster_core::ErrorKind;
use xcluster_core::testing::{TestFailure, ensure};
use xcluster_net_bridge::prepared::{NamespaceRequest, Obstacle, Owner, PreparedError, prepare, remove};

use crate::fixture::{Fixture, add, delete, index, ip_address, name, wanted};

pub(crate) async fn everything_in_the_way_is_reported_and_left_alone(fixture: &Fixture) -> Result<(), TestFailure> {
    fixture.ip("link add xcluster1 type veth peer name other1")?;
    fixture.nft("add table inet xcluster1")?;
    fixture.ip("address add 172.30.0.2/32 dev up0")?;
    fs::create_dir("/run/netns")?;
    File::create(name(1).net_file())?;
    let before = fixture.look()?;
    let refused = prepare(&NamespaceRequest { mtu: Some(1000), ..wanted(1) }).await;
    let Err(error @ PreparedError::Obstacles(_)) = &refused else {
        return Err(TestFailure::new(format!("{refused:?}")));
    };
    let PreparedError::Obstacles(found) = error else { return Ok(()) };
    let expected = [
        Obstacle::Mtu(1000),
        Obstacle::Link("xcluster1".into()),
        Obstacle::File(name(1).net_file()),
        Obstacle::Table("xcluster1".into()),
        Obstacle::Address(ip_address("172.30.0.2")),
    ];
    ensure(*found == expected, || format!("{found:?}"))?;
    ensure(delete(1).await?.is_none(), || "it removed something".to_owned())?;
    fixture.look()?.same_as(&before)?;
    // The commands in the message help.
    for remedy in error.remedies() {
        fixture.run(remedy.strip_prefix("sudo ").unwrap_or(&remedy))?;
    }
    fixture.ip("address delete 172.30.0.2/32 dev up0")?;
    add(1).await.map(drop)
}

pub(crate) async fn a_number_is_one_users(fixture: &Fixture) -> Result<(), TestFailure> {
    add(1).await?;
    fixture.ip("link add xcluster2 type veth peer name other1")?;
    let made = fixture.look()?;
    let alice = Owner { name: "alice".into(), uid: 1000, gid: 1000 };
    let refused = prepare(&NamespaceRequest { owner: alice.clone(), ..wanted(1) }).await;
    let Err(error) = refused else { return Err(TestFailure::new("alice has it too")) };
    let expected = "1 is the number of `root_xcluster1`, which belongs to root";
    ensure(error.to_string() == expected && error.kind() == ErrorKind::InUse, || error.to_string())?;
    ensure(error.remedies() == ["sudo xcluster nsadd 3"], || format!("{:?}", error.remedies()))?;
    let refused = remove(index(1), &alice).await;
    let Err(error) = refused else { return Err(TestFailure::new("alice may remove it")) };
    ensure(error.remedies() == ["sudo xcluster nsdel 1 --owner root"], || format!("{:?}", error.remedies()))?;
    fixture.look()?.same_as(&made)
}

pub(crate) async fn what_was_said_once_is_not_changed_by_the_way(_lab: &Fixture) -> Result<(), TestFailure> {
    prepare(&NamespaceRequest { mtu: Some(9000), ipv6_prefix: Some("fd00:".parse()?), ..wanted(1) }).await?;
    add(1).await?;
    let refused =
        prepare(&NamespaceRequest { mtu: Some(1500), ipv6_prefix: Some("1000::1".parse()?), ..wanted(1) }).await;
    let Err(error) = refused else { return Err(TestFailure::new("it was changed")) };
    let expected = "2 obstacles\n  it exists with MTU 9000, not 1500\n  it exists with IPv6 prefix fd00:, not 1000::1";
    ensure(error.to_string() == expected, || error.to_string())
}
