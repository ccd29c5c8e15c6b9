//! The events of a cluster: the begin and end of every step of the plan, and a node that dies.

use std::collections::BTreeMap;

use xcluster_core::plan::Step;
use xcluster_core::{Cluster, Event, NodeState};
use xcluster_net_user::UserBackend;

#[tokio::test]
async fn every_step_and_the_end_of_a_node_are_events() -> Result<(), Box<dyn std::error::Error>> {
    let builder = Cluster::builder().backend(UserBackend::default()).nodes(2);
    // `begin` returns at once, while the nodes start. `ready` waits for them.
    let cluster = Cluster::begin(&builder)?;
    let mut events = cluster.events();
    let mut times = BTreeMap::new();
    loop {
        match events.next().await.ok_or("the events ended before the cluster was ready")? {
            Event::Begin { step } => eprintln!("going to {step}"),
            Event::Done { step, took } => {
                eprintln!("done: {step}, {took:?}");
                times.insert(step, took);
            }
            Event::Note { text } => eprintln!("{text}"),
            Event::Failed { step, error } => eprintln!("cannot {step}: {error}"),
            Event::Ready => break,
            other => eprintln!("{other:?}"),
        }
    }
    cluster.ready().await?;
    // The plan had all these steps before the start.
    let planned: Vec<Step> = cluster.plan().steps();
    assert!(planned.iter().all(|step| times.contains_key(step)) && planned.len() == times.len(), "{times:?}");

    // The end of a node is an event, too. The other nodes go on.
    cluster.node(2)?.qmp("quit", serde_json::Value::Null).await?;
    let died = loop {
        if let Event::Exited { node, reason } = events.next().await.ok_or("the events ended without it")? {
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
