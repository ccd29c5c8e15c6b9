//! `boot`: boots nodes of a cluster, in the user's order and with the user's settings.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use xcluster_core::name::NodeId;
use xcluster_core::plan::{NodeBoot, Step};
use xcluster_core::{Cluster, Error, Event, NodeStatus};

use super::open_if_needed::open_if_needed;
use super::select::planned;
use crate::args::BootArgs;
use crate::exit::Exit;
use crate::output::print_json;
use crate::progress::Progress;
use crate::report::{Failure, Outcome, one_line};
use crate::settings::node_boot;
use crate::variables::Variables;

/// Boots the nodes side by side. Every failure is reported, and the other boots continue.
pub(super) async fn run(args: &BootArgs, variables: &Variables, verbose: u8) -> Outcome {
    // Mistakes in the args are reported before a cluster is opened.
    node_boot(NodeId::new(1).expect("1 is a valid number"), args, &Variables::default())?;
    let cluster = open_if_needed(&args.name, variables, verbose).await?;
    let nodes = planned(&args.nodes, &cluster.plan())?;
    let boots = nodes.into_iter().map(|node| node_boot(node, args, variables)).collect::<Result<Vec<_>, _>>()?;
    tokio::select! {
        booted = boot_all(&cluster, boots, args.json.json) => booted,
        // The owner sees that the connection is closed, and cancels the boots.
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.map_err(|error| Failure::io("watch for Ctrl-C", &error))?;
            Err(Failure::quiet(Exit::INTERRUPTED))
        }
    }
}

async fn boot_all(cluster: &Cluster, boots: Vec<NodeBoot>, json: bool) -> Outcome {
    let mut progress = Progress::new();
    let mut booting = FuturesUnordered::new();
    for boot in boots {
        let node = boot.node;
        progress.show(&Event::Begin { step: Step::Boot { node } });
        booting.push(async move { (node, boot_one(cluster, boot).await) });
    }
    let (mut up, mut failures) = (Vec::new(), Vec::new());
    while let Some((node, outcome)) = booting.next().await {
        progress.show(&event(node, &outcome));
        match outcome {
            Ok(status) => up.push(status),
            Err(error) => failures.push((node, Failure::from(error))),
        }
    }
    progress.finish();
    up.sort_by_key(|status| status.id);
    if json {
        print_json(&up)?;
    }
    failures.sort_by_key(|(node, _)| *node);
    failures.iter().for_each(|(_, failure)| failure.print());
    Ok(failures.first().map_or(Exit::OK, |(_, failure)| failure.exit))
}

async fn boot_one(cluster: &Cluster, boot: NodeBoot) -> Result<NodeStatus, Error> {
    cluster.boot(boot).await?.status().await
}

/// The event for the end of a boot, as in a start.
fn event(node: NodeId, outcome: &Result<NodeStatus, Error>) -> Event {
    let step = Step::Boot { node };
    match outcome {
        Ok(status) => Event::Done { step, took: status.boot_time.unwrap_or_default() },
        Err(error) => Event::Failed { step, error: one_line(error) },
    }
}
