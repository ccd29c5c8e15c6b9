//! Trials of the objects that a backend makes on the host: numbers 3, 4 and 8.

use super::fixture::{Fixture, test_context};
use super::{ContractCase, Subject, Trial};
use crate::net::{NetError, PortConfig};
use crate::testing::leftovers::Snapshot;
use crate::testing::{TestFailure, ensure};

pub(super) fn add(subject: &Subject, trials: &mut Vec<Trial>) {
    if subject.promises(|promise| ContractCase::TeardownByAnother.is_promised_by(promise)) {
        trials.push(Trial::new(subject, ContractCase::TeardownByAnother, teardown_by_another));
    }
    if subject.netns_mode.is_shared() {
        trials.push(Trial::new(subject, ContractCase::WhereAnotherClusterIs, where_another_cluster_is));
    } else {
        trials.push(Trial::new(subject, ContractCase::BesideAnotherCluster, beside_another_cluster));
    }
    if subject.foreign_objects.is_some() {
        trials.push(Trial::new(subject, ContractCase::WithForeignObject, with_a_foreign_object));
    }
    trials.push(Trial::new(subject, ContractCase::AsBefore, the_host_looks_as_before));
}

/// The owner died. Another process tears its cluster down: it has the requests, and not the backend state.
async fn teardown_by_another(subject: Subject) -> Result<(), TestFailure> {
    let nets = subject.nets.iter().filter(|net| subject.capabilities(net).durable).cloned();
    let mut fixture = Fixture::on(&subject, "inherited", nets.collect())?;
    let watch = fixture.watch(&subject);
    let before = watch.look();
    fixture.begin().await?;
    fixture.test_context = test_context(&subject, "inherited")?;
    fixture.backend = subject.backend();
    fixture.end().await?;
    drop(fixture);
    watch.look().same_as(&before).map_err(|failed| failed.during("after the teardown by another process"))
}

/// A cluster that starts and ends does not change another one.
async fn beside_another_cluster(subject: Subject) -> Result<(), TestFailure> {
    let other = Fixture::new(&subject, "bystander")?;
    let port_configs = other.begin().await?;
    let before = other.look(&subject);
    let fixture = Fixture::new(&subject, "passing")?;
    fixture.begin().await?;
    fixture.end().await?;
    drop(fixture);
    unharmed(&subject, &other, &port_configs, &before).await
}

/// If clusters share a namespace, the backend refuses the second one, which changes nothing. When the first has ended, the second
/// can start.
async fn where_another_cluster_is(subject: Subject) -> Result<(), TestFailure> {
    let first = Fixture::new(&subject, "bystander")?;
    let port_configs = first.begin().await?;
    let before = first.look(&subject);
    let second = Fixture::new(&subject, "second")?;
    let said = match second.begin().await {
        Err(NetError::InUse { .. }) => None,
        Err(other) => Some(TestFailure::from(other).to_string()),
        Ok(_) => Some("no error".to_owned()),
    };
    if let Some(said) = said {
        return Err(TestFailure::new(format!("expected `InUse` for the nets of another cluster, got: {said}")));
    }
    second.end().await.map_err(|error| TestFailure::from(error).during("teardown beside the other cluster"))?;
    unharmed(&subject, &first, &port_configs, &before).await?;
    second
        .begin()
        .await
        .map_err(|error| TestFailure::from(error).during("setup after the end of the other cluster"))?;
    Ok(second.end().await?)
}

/// Checks that a cluster is as it was before another one started and ended; then tears it down.
async fn unharmed(
    subject: &Subject,
    fixture: &Fixture,
    port_configs: &[PortConfig],
    before: &Snapshot,
) -> Result<(), TestFailure> {
    const WHEN: &str = "after another cluster has started and ended";
    fixture.look(subject).same_as(before).map_err(|failed| failed.during(WHEN))?;
    let again = fixture.set_up().await.map_err(|error| TestFailure::from(error).during(WHEN))?;
    ensure(port_configs == again, || format!("{WHEN}: a repeated setup returns something else"))?;
    Ok(fixture.end().await?)
}

async fn with_a_foreign_object(subject: Subject) -> Result<(), TestFailure> {
    let Some(foreign_objects) = &subject.foreign_objects else { return Ok(()) };
    for net in &subject.nets {
        let fixture = Fixture::on(&subject, "displaced", vec![net.clone()])?;
        let context = fixture.test_context.context();
        foreign_objects.plant(&context, net).await?;
        let begun = fixture.begin().await;
        fixture
            .end()
            .await
            .map_err(|error| TestFailure::from(error).during("teardown with a foreign object of that name"))?;
        foreign_objects.remove_intact(&context, net).await?;
        let said = match begun {
            Err(NetError::Conflict { .. }) => continue,
            Err(other) => TestFailure::from(other).to_string(),
            Ok(_) => "no error".to_owned(),
        };
        return Err(TestFailure::new(format!(
            "net {}: expected `Conflict` with the foreign object, got: {said}",
            net.id
        )));
    }
    Ok(())
}

async fn the_host_looks_as_before(subject: Subject) -> Result<(), TestFailure> {
    let fixture = Fixture::new(&subject, "traceless")?;
    let watch = fixture.watch(&subject);
    let before = watch.look();
    fixture.begin().await?;
    fixture.end().await?;
    drop(fixture);
    watch.look().same_as(&before)
}
