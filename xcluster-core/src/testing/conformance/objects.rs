//! Trials of what a backend makes on the host: numbers 3, 4 and 8.

use super::scene::{Scene, stage};
use super::{Part, Subject, Trial};
use crate::net::{NetError, PortConfig};
use crate::testing::leftovers::Snapshot;
use crate::testing::{Failed, ensure};

pub(super) fn add(subject: &Subject, trials: &mut Vec<Trial>) {
    if subject.promises(|promise| Part::UndoByAnother.is_promised_by(promise)) {
        trials.push(Trial::new(subject, Part::UndoByAnother, undo_by_another));
    }
    if subject.home.is_shared() {
        trials.push(Trial::new(subject, Part::WhereAnotherClusterIs, where_another_cluster_is));
    } else {
        trials.push(Trial::new(subject, Part::BesideAnotherCluster, beside_another_cluster));
    }
    if subject.stranger.is_some() {
        trials.push(Trial::new(subject, Part::InAStrangersPlace, in_a_strangers_place));
    }
    trials.push(Trial::new(subject, Part::AsBefore, the_host_looks_as_before));
}

/// The owner died. Another process knows the request, and nothing of what the first one remembered.
async fn undo_by_another(subject: Subject) -> Result<(), Failed> {
    let nets = subject.nets.iter().filter(|net| subject.capabilities(net).durable).cloned();
    let mut scene = Scene::on(&subject, "inherited", nets.collect())?;
    let watch = scene.watch(&subject);
    let before = watch.look();
    scene.begin().await?;
    scene.stage = stage(&subject, "inherited")?;
    scene.backend = subject.backend();
    scene.end().await?;
    drop(scene);
    watch.look().same_as(&before).map_err(|failed| failed.during("after another process has undone everything"))
}

/// Two clusters do not notice each other, whatever becomes of one of them.
async fn beside_another_cluster(subject: Subject) -> Result<(), Failed> {
    let other = Scene::new(&subject, "bystander")?;
    let port_configs = other.begin().await?;
    let before = other.look(&subject);
    let scene = Scene::new(&subject, "passing")?;
    scene.begin().await?;
    scene.end().await?;
    drop(scene);
    unharmed(&subject, &other, &port_configs, &before).await
}

/// Where nets have one place, whoever comes second is told, and changes nothing. Once the first is gone, there is room.
async fn where_another_cluster_is(subject: Subject) -> Result<(), Failed> {
    let first = Scene::new(&subject, "bystander")?;
    let port_configs = first.begin().await?;
    let before = first.look(&subject);
    let second = Scene::new(&subject, "second")?;
    let said = match second.begin().await {
        Err(NetError::InUse { .. }) => None,
        Err(other) => Some(Failed::from(other).to_string()),
        Ok(_) => Some("nothing at all".to_owned()),
    };
    if let Some(said) = said {
        return Err(Failed::new(format!("where another cluster is, it should say so, and says: {said}")));
    }
    second.end().await.map_err(|error| Failed::from(error).during("undoing where another cluster is"))?;
    unharmed(&subject, &first, &port_configs, &before).await?;
    second.begin().await.map_err(|error| Failed::from(error).during("after the other cluster"))?;
    Ok(second.end().await?)
}

/// A cluster is as it was before another one came and went; then it ends.
async fn unharmed(
    subject: &Subject,
    scene: &Scene,
    port_configs: &[PortConfig],
    before: &Snapshot,
) -> Result<(), Failed> {
    const WHEN: &str = "another cluster came and went";
    scene.look(subject).same_as(before).map_err(|failed| failed.during(WHEN))?;
    let again = scene.set_up().await.map_err(|error| Failed::from(error).during(WHEN))?;
    ensure(port_configs == again, || format!("{WHEN}, and setup answers something else"))?;
    Ok(scene.end().await?)
}

async fn in_a_strangers_place(subject: Subject) -> Result<(), Failed> {
    let Some(stranger) = &subject.stranger else { return Ok(()) };
    for net in &subject.nets {
        let scene = Scene::on(&subject, "displaced", vec![net.clone()])?;
        let context = scene.stage.context();
        stranger.plant(&context, net).await?;
        let begun = scene.begin().await;
        scene.end().await.map_err(|error| Failed::from(error).during("undoing in a stranger's place"))?;
        stranger.remove_intact(&context, net).await?;
        let said = match begun {
            Err(NetError::Conflict { .. }) => continue,
            Err(other) => Failed::from(other).to_string(),
            Ok(_) => "nothing at all".to_owned(),
        };
        return Err(Failed::new(format!("net {}: instead of a conflict it says: {said}", net.id)));
    }
    Ok(())
}

async fn the_host_looks_as_before(subject: Subject) -> Result<(), Failed> {
    let scene = Scene::new(&subject, "traceless")?;
    let watch = scene.watch(&subject);
    let before = watch.look();
    scene.begin().await?;
    scene.end().await?;
    drop(scene);
    watch.look().same_as(&before)
}
