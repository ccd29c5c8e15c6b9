//! `stop`: stops a cluster, single nodes, or all clusters.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{sleep, timeout};
use xcluster_core::host::folder::{LostOwner, Survey};
use xcluster_core::{Cluster, Error, cluster};

use super::select::{not_attached, select, survey};
use crate::args::StopArgs;
use crate::exit::Exit;
use crate::report::{Failure, Outcome};
use crate::settings::cluster_name;
use crate::variables::Variables;

/// How long the owner of a cluster without a folder may take to end. It notices the missing folder within a second.
const LOST_TIMEOUT: Duration = Duration::from_secs(30);

/// The interval of looking whether it has ended. It is not our child process, so no event reports its end.
const LOST_CHECK: Duration = Duration::from_millis(200);

/// Stops a cluster or nodes, and waits until nothing of them is left.
pub(super) async fn run(args: &StopArgs, variables: &Variables) -> Outcome {
    if args.all {
        return stop_all().await;
    }
    let name = cluster_name(&args.name, variables)?;
    let cluster = match Cluster::attach(&name).await {
        Ok(cluster) => cluster,
        Err(Error::LostFolder { name, owner, .. }) => {
            until_ended(&LostOwner::new(name, owner)).await?;
            return Ok(Exit::OK);
        }
        Err(error) => return Err(not_attached(error, &name)),
    };
    if args.nodes.is_empty() {
        cluster.stop().await?;
        return Ok(Exit::OK);
    }
    let nodes = select(&args.nodes, &cluster.status().await?)?;
    let stops = nodes.iter().map(async |node| cluster.node(*node)?.stop().await);
    first_failure(nodes.iter().zip(join_all(stops).await), |node| format!("cannot stop {node}"))
}

/// Prints every failure, and returns the exit code of the first one.
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

/// Waits for the end of a cluster whose folder is gone. Its owner has no socket any more, but notices the missing folder.
async fn until_ended(owner: &LostOwner) -> Result<(), Failure> {
    let gone = async {
        while cluster::survey()?.lost.contains(owner) {
            sleep(LOST_CHECK).await;
        }
        Ok::<_, Failure>(())
    };
    let late = |_| {
        let failure = Failure::from(Error::LostFolder { name: owner.name.clone(), owner: owner.pid });
        let waited = format!("timed out after {} s", LOST_TIMEOUT.as_secs());
        failure.context(waited).with_exit(Exit::TIMEOUT).hint(format!("`kill {}`", owner.pid))
    };
    timeout(LOST_TIMEOUT, gone).await.map_err(late)?
}

/// Stops all clusters, and continues after a failure. Without clusters it succeeds.
async fn stop_all() -> Outcome {
    let mut failed = None;
    let Survey { running, lost, .. } = survey()?;
    for name in running {
        let stopped = match Cluster::attach(&name).await {
            Ok(cluster) => cluster.stop().await,
            Err(error) => Err(error),
        };
        if let Err(error) = stopped {
            let failure = Failure::from(error).context(format!("cannot stop cluster `{name}`"));
            // The cluster has ended meanwhile.
            if failure.exit != Exit::ABSENT {
                failure.print();
                failed = Some(failure.exit);
            }
        }
    }
    for owner in lost {
        if let Err(failure) = until_ended(&owner).await {
            failure.print();
            failed = Some(failure.exit);
        }
    }
    Ok(failed.unwrap_or(Exit::OK))
}
