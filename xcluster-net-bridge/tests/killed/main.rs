//! A killed owner leaves nothing, at any step of its start: no process, no network namespace, no link, no host lock. The next
//! command of its user removes its folder. The other files start owners and find leftovers.
//!
//! Each test has a network namespace, which plays the part of the host's.

mod fixture;
mod nsid;
mod owner;
mod process_tree;

use std::process::ExitCode;

use xcluster_core::name::NodeId;
use xcluster_core::plan::Step;
use xcluster_core::testing::{TestFailure, ensure, harness};

use fixture::Fixture;
use owner::{Moment, OwnerConfig};

/// How often an owner is killed at each moment, since the exact time always differs.
const TIMES: usize = 3;

fn main() -> ExitCode {
    if let Some(config) = OwnerConfig::given() {
        return config.carry_out();
    }
    macro_rules! tests {
        ($($name:ident),* $(,)?) => { vec![$(harness::test(stringify!($name), $name)),*] };
    }
    harness::main(tests![
        nothing_is_left_of_real_vms,
        nothing_is_left_of_an_owner_that_was_killed_as_it_began,
        nothing_is_left_of_an_owner_that_was_killed_while_it_made_nets,
        nothing_is_left_of_an_owner_that_was_killed_while_it_set_up_ports,
        nothing_is_left_of_an_owner_that_was_killed_while_its_nodes_booted,
        what_is_left_in_a_shared_namespace_is_taken_over_by_the_next_cluster,
    ])
}

async fn nothing_is_left_of_an_owner_that_was_killed_as_it_began() -> Result<(), TestFailure> {
    let early = |step: &Step| matches!(step, Step::Netns { .. } | Step::Preflight { .. } | Step::Guest);
    killed_at_each(early).await
}

async fn nothing_is_left_of_an_owner_that_was_killed_while_it_made_nets() -> Result<(), TestFailure> {
    killed_at_each(|step| matches!(step, Step::CreateNet { .. })).await
}

async fn nothing_is_left_of_an_owner_that_was_killed_while_it_set_up_ports() -> Result<(), TestFailure> {
    killed_at_each(|step| matches!(step, Step::Setup { .. })).await
}

async fn nothing_is_left_of_an_owner_that_was_killed_while_its_nodes_booted() -> Result<(), TestFailure> {
    killed_at_each(|step| matches!(step, Step::Boot { .. })).await?;
    let fixture = Fixture::fake()?;
    for _ in 0..TIMES {
        fixture.nothing_is_left_after(&Moment::Ready).await?;
    }
    Ok(())
}

async fn killed_at_each(of: impl Fn(&Step) -> bool) -> Result<(), TestFailure> {
    let fixture = Fixture::fake()?;
    let moments = fixture.moments(of)?;
    ensure(!moments.is_empty(), || "a start has no such step".to_owned())?;
    for moment in moments.iter().cycle().take(TIMES * moments.len()) {
        fixture.nothing_is_left_after(moment).await?;
    }
    Ok(())
}

async fn nothing_is_left_of_real_vms() -> Result<(), TestFailure> {
    let fixture = Fixture::real()?;
    let boot = |node| NodeId::new(node).map(|node| Step::Boot { node });
    let [node, router] = [boot(1)?, boot(201)?];
    let booting = [Moment::Begin(node.clone()), Moment::Begin(router.clone())];
    let up = [Moment::Done(node), Moment::Done(router), Moment::Ready];
    for moment in [&Moment::Done(Step::Guest)].into_iter().chain(&booting).chain(&booting).chain(&booting).chain(&up) {
        fixture.nothing_is_left_after(moment).await?;
    }
    Ok(())
}

/// Bridges in a shared namespace outlive their owner. Taps end with their descriptors.
async fn what_is_left_in_a_shared_namespace_is_taken_over_by_the_next_cluster() -> Result<(), TestFailure> {
    let fixture = Fixture::shared()?;
    let mut moments = fixture.moments(|step| !matches!(step, Step::Netns { .. } | Step::Guest))?;
    moments.push(Moment::Ready);
    let (before, mut bridges) = (fixture.look(), 0);
    for moment in moments {
        fixture.is_killed_at(&moment).await?;
        let links = fixture.links()?;
        ensure(!links.iter().any(|link| link.contains('_')), || format!("{moment}: taps are left: {links:?}"))?;
        bridges = bridges.max(links.len() - 1);
        next_cluster(&fixture).await.map_err(|failed| failed.during(&moment))?;
        fixture.look().same_as(&before).map_err(|failed| failed.during(&moment))?;
    }
    ensure(bridges == 3, || format!("{bridges} bridges were there to be taken over"))
}

/// It starts and stops, and leaves nothing of itself or of earlier clusters.
async fn next_cluster(fixture: &Fixture) -> Result<(), TestFailure> {
    let mut owner = fixture.owner()?;
    owner.until(&Moment::Ready).await?;
    let links = fixture.links()?;
    ensure(links.len() == 1 + 3 + 7, || format!("{links:?}"))?;
    owner.stop().await?;
    let links = fixture.links()?;
    ensure(links == ["lo"], || format!("{links:?} are left"))
}
