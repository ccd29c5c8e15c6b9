//! Trials of what a backend makes on the host: numbers 3, 4 and 8.

use super::fixture::{Fixture, test_context};
use super::{ContractCase, Subject, Trial};
use crate::net::{NetError, PortConfig};
use crate::testing::leftovers::Snapshot;
use crate::testing::{TestFailure, ensure};

pub(super) fn add(subject: &Subject, trials: &mut Vec<Trial>) {
    if subject.promises(|promise| ContractCase::UndoByAnother.is_promised_by(promise)) {
        trials.push(Trial::new(subject, ContractCase::UndoByAnother, undo_by_another));
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

/// The owner died. Another process knows the request, and nothing of what the first one remembered.
async fn undo_by_another(subject: Subject) -> Result<(), TestFailure> {
    let nets = subject.nets.iter().filter(|net| subject.capabilities(net).durable).cloned();
    let mut fixture = Fixture::on(&subject, "inherited", nets.collect())?;
    let watch = fixture.watch(&subject);
    let before = watch.look();
    fixture.begin().await?;
    fixture.test_context = test_context(&subject, "inherited")?;
    fixture.backend = subject.backend();
    fixture.end().await?;
    drop(fixture);
    watch.look().same_as(&before).map_err(|failed| failed.during("after another process has undone everything"))
}

/// Two clusters do not notice each other, whatever becomes of one of them.
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

/// Where nets have one place, whoever comes second is told, and changes nothing. Once the first is gone, there is room.
async fn where_another_cluster_is(subject: Subject) -> Result<(), TestFailure> {
    let first = Fixture::new(&subject, "bystander")?;
    let port_configs = first.begin().await?;
    let before = first.look(&subject);
    let second = Fixture::new(&subject, "second")?;
    let said = match second.begin().await {
        Err(NetError::InUse { .. }) => None,
        Err(other) => Some(TestFailure::from(other).to_string()),
        Ok(_) => Some("nothing at all".to_owned()),
    };
    if let Some(said) = said {
        return Err(TestFailure::new(format!("where another cluster is, it should say so, and says: {said}")));
    }
    second.end().await.map_err(|error| TestFailure::from(error).during("undoing where another cluster is"))?;
    unharmed(&subject, &first, &port_configs, &before).await?;
    second.begin().await.map_err(|error| TestFailure::from(error).during("after the other cluster"))?;
    Ok(second.end().await?)
}

/// A cluster is as it was before another one came and went; then it ends.
async fn unharmed(
    subject: &Subject,
    fixture: &Fixture,
    port_configs: &[PortConfig],
    before: &Snapshot,
) -> Result<(), TestFailure> {
    const WHEN: &str = "another cluster came and went";
    fixture.look(subject).same_as(before).map_err(|failed| failed.during(WHEN))?;
    let again = fixture.set_up().await.map_err(|error| TestFailure::from(error).during(WHEN))?;
    ensure(port_configs == again, || format!("{WHEN}, and setup answers something else"))?;
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
            .map_err(|error| TestFailure::from(error).during("undoing with a foreign object of that name"))?;
        foreign_objects.remove_intact(&context, net).await?;
        let said = match begun {
            Err(NetError::Conflict { .. }) => continue,
            Err(other) => TestFailure::from(other).to_string(),
            Ok(_) => "nothing at all".to_owned(),
        };
        return Err(TestFailure::new(format!("net {}: instead of a conflict it says: {said}", net.id)));
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
