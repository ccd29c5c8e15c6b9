//! Namespaces that are made, made again, half made, and removed.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use xcluster_core::testing::{TestFailure, ensure};
use xcluster_net_bridge::prepared::{NamespaceRequest, Owner, prepare, remove};

use crate::fixture::{Fixture, add, delete, index, name, open, root, run_in, setting, wanted};

pub(crate) async fn a_host_is_afterwards_as_before(fixture: &Fixture) -> Result<(), TestFailure> {
    // An unusual host: one link forwards already, and others must not send redirects.
    fixture.ip("link add other0 type veth peer name other1")?;
    fs::write(setting("ipv4/conf/other0/forwarding"), "1")?;
    fs::write(setting("ipv6/conf/other0/forwarding"), "1")?;
    fs::write(setting("ipv4/conf/up0/accept_redirects"), "1")?;
    fs::write(setting("ipv4/conf/default/accept_redirects"), "0")?;
    fixture.nft(
        "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }",
    )?;
    let before = fixture.look()?;
    let prepared = add(1).await?;
    ensure(prepared.name == name(1), || format!("it is called {}", prepared.name))?;
    ensure(fixture.ip("netns list")?.contains("root_xcluster1"), || "ip does not know it".to_owned())?;
    ensure(before.same_as(&fixture.look()?).is_err(), || "nothing was made".to_owned())?;
    ensure(delete(1).await? == Some(name(1)), || "it was not there".to_owned())?;
    fixture.look()?.same_as(&before)?;
    ensure(delete(1).await?.is_none(), || "it is still there".to_owned())?;
    fixture.look()?.same_as(&before)
}

pub(crate) async fn a_second_call_makes_only_what_is_missing(fixture: &Fixture) -> Result<(), TestFailure> {
    let before = fixture.look()?;
    add(1).await?;
    // The kernel still adds settings of IPv6 to a link by itself.
    let look = || {
        Ok::<_, TestFailure>([
            fixture.ip("link")?,
            fixture.ip("-4 address")?,
            fixture.ip("-4 route")?,
            fixture.nft("list ruleset")?,
        ])
    };
    let once = look()?;
    let again = add(1).await?;
    ensure(again.made.is_empty(), || format!("made {:?}", again.made))?;
    let twice = look()?;
    ensure(twice == once, || format!("{once:#?}\n{twice:#?}"))?;

    let namespace = open(1)?;
    run_in(Some(&namespace), "ip link delete xcbr1")?;
    run_in(Some(&namespace), "nft flush ruleset")?;
    fixture.ip("link delete xcluster1")?;
    let made = add(1).await?.made;
    let expected = ["link `xcluster1`", "bridge `xcbr1`", "masquerading in the namespace"];
    ensure(made == expected, || format!("made {made:?}"))?;
    delete(1).await?;
    fixture.look()?.same_as(&before)
}

pub(crate) async fn a_namespace_that_was_taken_away_is_made_anew(fixture: &Fixture) -> Result<(), TestFailure> {
    let before = fixture.look()?;
    add(1).await?;
    fixture.ip("netns delete root_xcluster1")?;
    let made = add(1).await?.made;
    ensure(made.iter().any(|made| made == "network namespace `root_xcluster1`"), || format!("made {made:?}"))?;
    open(1)?;
    fixture.ip("netns delete root_xcluster1")?;
    delete(1).await?;
    fixture.look()?.same_as(&before)
}

pub(crate) async fn a_failed_attempt_leaves_nothing(fixture: &Fixture) -> Result<(), TestFailure> {
    let before = fixture.look()?;
    // The user namespace of these tests maps only root, so the kernel refuses other users.
    let owner = Owner { name: "nobody".into(), uid: 65534, gid: 65534 };
    let refused = prepare(&NamespaceRequest { owner, ..wanted(1) }).await;
    ensure(refused.is_err(), || "another user exists".to_owned())?;
    fixture.look()?.same_as(&before)
}

pub(crate) async fn two_at_the_same_time_take_turns(fixture: &Fixture) -> Result<(), TestFailure> {
    let before = fixture.look()?;
    let (one, two) = tokio::join!(add(1), add(2));
    one.and(two)?;
    open(1).and(open(2))?;
    let (one, two) = tokio::join!(delete(1), delete(2));
    one.and(two)?;
    fixture.look()?.same_as(&before)
}

pub(crate) async fn who_is_still_inside_is_reported(_lab: &Fixture) -> Result<(), TestFailure> {
    add(1).await?;
    let namespace = open(1)?;
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped());
    if let Some(inside) = namespace.inside()? {
        inside.enter(&mut command);
    }
    let mut cat = command.spawn()?;
    // Outside of the namespace, but with a descriptor of it, as the owner of a cluster has.
    let mut holder = Command::new("sleep").arg("600").stdin(File::open(name(1).net_file())?).spawn()?;
    let removed = remove(index(1), &root()).await?;
    let reported = |pid| removed.namespace_users.iter().any(|occupant| occupant.pid == pid);
    let (inside, outside) = (reported(cat.id()), reported(holder.id()));
    // It ends with its input.
    drop(cat.stdin.take());
    cat.wait()?;
    holder.kill()?;
    holder.wait()?;
    ensure(inside && outside, || format!("{:?}", removed.namespace_users))?;
    let links = run_in(Some(&namespace), "ip link")?;
    ensure(!links.contains("host1"), || links)
}
