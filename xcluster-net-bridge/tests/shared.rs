//! Namespaces that other programs use as well: killed owners, running clusters, bridges that root prepared, foreign links.
//!
//! Each test has a network namespace, and its clusters are there.

mod inside;

use futures::TryStreamExt;
use rtnetlink::LinkUnspec;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use xcluster_core::host::{Namespace, Netns};
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{Net, NetBackend, NetError, Port, PortConfig};
use xcluster_core::testing::{TestContext, TestFailure, ensure};
use xcluster_net_bridge::{BridgeBackend, PREPARED_MARK};

use inside::Links;

xcluster_core::harness![
    a_bridge_that_a_killed_owner_left_is_taken_over,
    a_tap_that_a_dying_qemu_still_holds_is_taken_over,
    a_tap_goes_with_its_teardown_even_if_somebody_holds_it,
    a_foreign_link_with_a_taps_name_is_a_conflict,
    a_prepared_bridge_is_used_and_restored,
    a_net_that_another_cluster_has_is_in_use,
    links_have_the_documented_names_and_a_mark,
];

/// A cluster of two nodes on net 1, where the test is.
struct Fixture {
    test_context: TestContext,
    backend: BridgeBackend,
    net: Net,
    ports: [Port; 2],
}

impl Fixture {
    fn new(name: &str) -> Result<Self, TestFailure> {
        let test_context = TestContext::in_netns(name, &Netns::Here)?;
        let net = Net::new(NetId::CLUSTER);
        let ports = [Port::new(NodeId::new(1)?, net.clone(), 0), Port::new(NodeId::new(2)?, net.clone(), 0)];
        Ok(Self { test_context, backend: BridgeBackend::default(), net, ports })
    }

    fn with_mtu(mut self, mtu: u16) -> Self {
        self.net.mtu = mtu;
        self.ports.iter_mut().for_each(|port| port.net.mtu = mtu);
        self
    }

    async fn begin(&self) -> Result<Vec<PortConfig>, NetError> {
        let context = self.test_context.context();
        self.backend.preflight(&context, std::slice::from_ref(&self.net), &self.ports).await?;
        self.backend.create_net(&context, &self.net).await?;
        let mut port_config = Vec::new();
        for port in &self.ports {
            port_config.push(self.backend.setup(&context, port).await?);
        }
        Ok(port_config)
    }

    async fn end(&self) -> Result<(), NetError> {
        let context = self.test_context.context();
        for port in &self.ports {
            self.backend.teardown(&context, port).await?;
        }
        self.backend.delete_net(&context, &self.net).await
    }
}

/// Reads and changes of links for these tests.
impl Links {
    /// Sets the alias of a link.
    async fn mark(&self, name: &str, alias: &str) -> Result<(), TestFailure> {
        Ok(self.handle.link().change(LinkUnspec::new_with_name(name).alias(alias).build()).execute().await?)
    }

    /// The names of all links.
    async fn names(&self) -> Result<Vec<String>, TestFailure> {
        let all: Vec<LinkMessage> = self.handle.link().get().execute().try_collect().await?;
        let name = |message: LinkMessage| message.attributes.into_iter().find_map(name);
        Ok(all.into_iter().filter_map(name).collect())
    }

    /// The addresses of a link.
    async fn addresses(&self, link: &str) -> Result<Vec<String>, TestFailure> {
        let index = self.find(link).await?.header.index;
        let all: Vec<AddressMessage> =
            self.handle.address().get().set_link_index_filter(index).execute().try_collect().await?;
        let ip = |message: AddressMessage| {
            message.attributes.into_iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(ip) => Some(ip.to_string()),
                _ => None,
            })
        };
        Ok(all.into_iter().filter_map(ip).collect())
    }
}

fn name(attribute: LinkAttribute) -> Option<String> {
    match attribute {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    }
}

fn links() -> Result<Links, TestFailure> {
    Links::of(&Namespace::here())
}

async fn check(links: &Links, expected: &[&str]) -> Result<(), TestFailure> {
    let names = links.names().await?;
    ensure(names == expected, || format!("expected {expected:?}, and there are {names:?}"))
}

/// The kernel closes all descriptors, and nothing else happens.
async fn a_bridge_that_a_killed_owner_left_is_taken_over() -> Result<(), TestFailure> {
    let (links, killed) = (links()?, Fixture::new("killed")?);
    killed.begin().await?;
    drop(killed);
    check(&links, &["lo", "xcbr1"]).await?;
    let left = links.looks("xcbr1").await?;
    let fixture = Fixture::new("heir")?;
    fixture.begin().await?;
    let made = links.looks("xcbr1").await?;
    ensure(made.contains("cluster heir") && made != left, || made)?;
    fixture.end().await?;
    check(&links, &["lo"]).await
}

async fn a_tap_that_a_dying_qemu_still_holds_is_taken_over() -> Result<(), TestFailure> {
    let (links, killed) = (links()?, Fixture::new("killed")?);
    let held_by_qemu = killed.begin().await?;
    drop(killed);
    check(&links, &["lo", "xcbr1", "xcbr1_t1", "xcbr1_t2"]).await?;
    let fixture = Fixture::new("heir")?;
    fixture.begin().await?;
    drop(held_by_qemu);
    let tap = links.looks("xcbr1_t2").await?;
    ensure(tap.contains("cluster heir"), || tap)?;
    fixture.end().await?;
    check(&links, &["lo"]).await
}

async fn a_tap_goes_with_its_teardown_even_if_somebody_holds_it() -> Result<(), TestFailure> {
    let (links, fixture) = (links()?, Fixture::new("held")?);
    let held = fixture.begin().await?;
    fixture.end().await?;
    check(&links, &["lo"]).await?;
    drop(held);
    Ok(())
}

async fn a_foreign_link_with_a_taps_name_is_a_conflict() -> Result<(), TestFailure> {
    let (links, fixture) = (links()?, Fixture::new("displaced")?);
    links.make_bridge("xcbr1_t2").await?;
    let before = links.looks("xcbr1_t2").await?;
    let begun = fixture.begin().await;
    let conflict = matches!(&begun, Err(NetError::Conflict { object }) if object == "xcbr1_t2");
    ensure(conflict, || format!("{begun:?}"))?;
    fixture.end().await?;
    let after = links.looks("xcbr1_t2").await?;
    ensure(before == after, || format!("it was {before} and is {after}"))?;
    check(&links, &["lo", "xcbr1_t2"]).await?;
    links.remove("xcbr1_t2").await
}

async fn a_prepared_bridge_is_used_and_restored() -> Result<(), TestFailure> {
    let (links, fixture) = (links()?, Fixture::new("guest")?.with_mtu(9000));
    links.make_bridge("xcbr1").await?;
    links.mark("xcbr1", PREPARED_MARK).await?;
    let (before, addresses) = (links.looks("xcbr1").await?, links.addresses("xcbr1").await?);
    fixture.begin().await?;
    let (during, given) = (links.looks("xcbr1").await?, links.addresses("xcbr1").await?);
    ensure(during == before.replace("1400", "9000"), || format!("it was {before} and is {during}"))?;
    ensure(given.iter().any(|ip| ip == "192.168.1.250"), || format!("it has {given:?}"))?;
    ensure(given.iter().any(|ip| ip == "1000::1:c0a8:1fa"), || format!("it has {given:?}"))?;
    fixture.end().await?;
    let (after, left) = (links.looks("xcbr1").await?, links.addresses("xcbr1").await?);
    ensure(after == before, || format!("it was {before} and is {after}"))?;
    let ours = |ip: &&String| !ip.starts_with("fe80") && !addresses.contains(ip);
    ensure(!left.iter().any(|ip| ours(&ip)), || format!("it had {addresses:?} and has {left:?}"))?;
    links.remove("xcbr1").await
}

async fn a_net_that_another_cluster_has_is_in_use() -> Result<(), TestFailure> {
    let (first, second) = (Fixture::new("first")?, Fixture::new("second")?);
    first.begin().await?;
    let refused = second.begin().await.err().map(|error| error.to_string()).unwrap_or_default();
    let expected = format!("bridge xcbr1 is in use by the cluster of process {}", std::process::id());
    ensure(refused == expected, || refused)?;
    first.end().await?;
    second.begin().await?;
    Ok(second.end().await?)
}

async fn links_have_the_documented_names_and_a_mark() -> Result<(), TestFailure> {
    let (links, fixture) = (links()?, Fixture::new("marked")?);
    fixture.begin().await?;
    check(&links, &["lo", "xcbr1", "xcbr1_t1", "xcbr1_t2"]).await?;
    let user = nix::unistd::getuid();
    for (name, mark) in [("xcbr1", "net 1"), ("xcbr1_t2", "net 1, vm-002")] {
        let mark = format!("xcluster: {mark} of cluster marked of uid {user}");
        let looks = links.looks(name).await?;
        ensure(looks.contains(&mark), || format!("no `{mark}` in {looks}"))?;
    }
    Ok(fixture.end().await?)
}
