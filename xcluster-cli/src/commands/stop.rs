//! `stop`: the end of a cluster, or of all.

use futures::future::join_all;
use xcluster_core::Error;
use xcluster_core::remote::{self, Remote};

use super::Outcome;
use super::select::{attach, select};
use crate::args::StopArgs;
use crate::exit::Exit;
use crate::report::Failure;
use crate::variables::Variables;

/// Stops a cluster and waits until nothing is left of it.
pub(super) async fn run(args: &StopArgs, variables: &Variables) -> Outcome {
    if args.all {
        return stop_all().await;
    }
    let cluster = attach(&args.name, variables).await?;
    if args.nodes.is_empty() {
        cluster.stop().await?;
        return Ok(Exit::OK);
    }
    let nodes = select(&args.nodes, &cluster.status().await?)?;
    let stops = nodes.iter().map(|node| cluster.stop_node(*node));
    first_failure(nodes.iter().zip(join_all(stops).await), |node| format!("cannot stop {node}"))
}

/// Tells every failure, and ends with the first one.
pub(super) fn first_failure<N>(
    outcomes: impl IntoIterator<Item = (N, Result<(), Error>)>,
    what: impl Fn(N) -> String,
) -> Outcome {
    let mut first = Exit::OK;
    for (node, outcome) in outcomes {
        if let Err(error) = outcome {
            let failure = Failure::from(error).context(what(node));
            failure.print();
            first = if first.is_ok() { failure.exit } else { first };
        }
    }
    Ok(first)
}

/// Stops every cluster, also after one of them could not be; that there is none is no failure.
async fn stop_all() -> Outcome {
    let mut failed = None;
    for name in remote::running()? {
        let stopped = match Remote::attach(&name) {
            Ok(cluster) => cluster.stop().await,
            Err(error) => Err(error),
        };
        if let Err(error) = stopped {
            let failure = Failure::from(error).context(format!("cannot stop cluster `{name}`"));
            // It has ended by itself meanwhile.
            if failure.exit != Exit::ABSENT {
                failure.print();
                failed = Some(failure.exit);
            }
        }
    }
    Ok(failed.unwrap_or(Exit::OK))
}
