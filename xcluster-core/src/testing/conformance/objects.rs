//! Trials of what a backend makes on the host: numbers 3, 4 and 8.

use super::scene::{Scene, look};
use super::{Subject, Trial};
use crate::net::NetError;
use crate::testing::{Failed, Stage, ensure};

pub(super) fn add(subject: &Subject, trials: &mut Vec<Trial>) {
    if subject.promises(|capabilities| capabilities.durable) {
        trials.push(Trial::new(subject, 3, "", undo_by_another));
    }
    trials.push(Trial::new(subject, 4, "beside another cluster", beside_another_cluster));
    if subject.stranger.is_some() {
        trials.push(Trial::new(subject, 4, "in a stranger's place", in_a_strangers_place));
    }
    trials.push(Trial::new(subject, 8, "", the_host_looks_as_before));
}

/// The owner died. Another process knows the request, and nothing of what the first one remembered.
async fn undo_by_another(subject: Subject) -> Result<(), Failed> {
    let before = look(&subject);
    let nets = subject.nets.iter().filter(|net| subject.capabilities(net).durable).cloned();
    let mut scene = Scene::on(&subject, "inherited", nets.collect())?;
    scene.begin().await?;
    scene.stage = Stage::new("inherited")?;
    scene.backend = subject.backend();
    scene.end().await?;
    drop(scene);
    look(&subject).same_as(&before).map_err(|failed| failed.during("after another process has undone everything"))
}

/// Two clusters do not notice each other, whatever becomes of one of them.
async fn beside_another_cluster(subject: Subject) -> Result<(), Failed> {
    let other = Scene::new(&subject, "bystander")?;
    let wired = other.begin().await?;
    let before = look(&subject);
    let scene = Scene::new(&subject, "passing")?;
    scene.begin().await?;
    scene.end().await?;
    drop(scene);
    look(&subject).same_as(&before).map_err(|failed| failed.during("another cluster came and went"))?;
    let again = other.set_up().await.map_err(|error| Failed::from(error).during("another cluster came and went"))?;
    ensure(wired == again, || "another cluster came and went, and setup answers something else".to_owned())?;
    Ok(other.end().await?)
}

async fn in_a_strangers_place(subject: Subject) -> Result<(), Failed> {
    let Some(stranger) = &subject.stranger else { return Ok(()) };
    for net in &subject.nets {
        let scene = Scene::on(&subject, "displaced", vec![net.clone()])?;
        let site = scene.stage.site();
        stranger.plant(site.cluster, net)?;
        let begun = scene.begin().await;
        scene.end().await.map_err(|error| Failed::from(error).during("undoing in a stranger's place"))?;
        stranger.remove_intact(site.cluster, net)?;
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
    let before = look(&subject);
    let scene = Scene::new(&subject, "traceless")?;
    scene.begin().await?;
    scene.end().await?;
    drop(scene);
    look(&subject).same_as(&before)
}
