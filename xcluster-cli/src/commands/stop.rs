//! `stop`: the end of a cluster, or of all.

use xcluster_core::remote::{self, Remote};

use super::Outcome;
use super::attach::attach;
use crate::args::StopArgs;
use crate::exit::Exit;
use crate::report::Failure;
use crate::variables::Variables;

/// Stops a cluster and waits until nothing is left of it.
pub(super) async fn run(args: &StopArgs, variables: &Variables) -> Outcome {
    if args.all {
        return stop_all().await;
    }
    attach(&args.name, variables).await?.stop().await?;
    Ok(Exit::OK)
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
