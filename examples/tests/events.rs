//! What happens to a cluster, while it happens: every step of the plan as it begins and ends, and a node that dies.

use std::collections::BTreeMap;

use xcluster_core::plan::Step;
use xcluster_core::{Cluster, Event, NodeState};
use xcluster_net_user::UserBackend;

#[tokio::test]
async fn every_step_and_every_death_is_an_event() -> Result<(), Box<dyn std::error::Error>> {
    let builder = Cluster::builder().backend(UserBackend::default()).nodes(2);
    // `begin` comes back at once: the nodes start meanwhile. `ready` waits for them.
    let cluster = Cluster::begin(&builder)?;
    let mut events = cluster.events();
    let mut took = BTreeMap::new();
    loop {
        match events.next().await.ok_or("the start has ended without a word")? {
            Event::Begin { step } => eprintln!("going to {step}"),
            Event::Done { step, millis } => {
                eprintln!("done: {step}, {millis} ms");
                took.insert(step, millis);
            }
            Event::Note { text } => eprintln!("{text}"),
            Event::Failed { step, error } => eprintln!("cannot {step}: {error}"),
            Event::Ready => break,
            other => eprintln!("{other:?}"),
        }
    }
    cluster.ready().await?;
    // The plan knew all of them before anything was touched.
    let planned: Vec<Step> = cluster.plan().steps();
    assert!(planned.iter().all(|step| took.contains_key(step)) && planned.len() == took.len(), "{took:?}");

    // A node that dies is an event too. Everything else goes on.
    cluster.node(2)?.qmp("quit", serde_json::Value::Null).await?;
    let died = loop {
        if let Event::Exited { node, reason } = events.next().await.ok_or("nothing was said")? {
            eprintln!("{node}: {reason}");
            break node;
        }
    };
    assert_eq!(died.number(), 2);
    assert_eq!(cluster.node(2)?.status().await?.state, NodeState::Failed);
    assert_eq!(cluster.node(1)?.exec("hostname").await?.ok()?.text(), "vm-001");
    cluster.stop().await?;
    Ok(())
}
