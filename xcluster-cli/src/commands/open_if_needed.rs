//! Opens the command's cluster if it is not running. Concurrent commands open it only once.

use std::time::Duration;

use nix::unistd::Uid;
use xcluster_core::host::HostLock;
use xcluster_core::{Cluster, Error};

use super::start::explain;
use crate::args::{ClusterArgs, NameArg};
use crate::exit::Exit;
use crate::owner::launch;
use crate::report::Failure;
use crate::settings::{Settings, cluster_name};
use crate::variables::Variables;

/// How long another process may take to open the cluster: it may have to build the guest.
const OTHERS: Duration = Duration::from_secs(1200);

/// Attaches to the command's cluster. If it is not running, it is opened like `start --no-nodes`.
pub(super) async fn open_if_needed(arg: &NameArg, variables: &Variables, verbose: u8) -> Result<Cluster, Failure> {
    let name = cluster_name(arg, variables)?;
    let locked = HostLock::take_one_of(&format!("open/{}/{name}", Uid::effective()), 1, OTHERS).await;
    let _turn = locked.map_err(|error| Failure::from_error(Exit::FAILURE, &error))?;
    match Cluster::attach(&name).await {
        Err(Error::NotRunning(_)) => {}
        attached => return Ok(attached?),
    }
    let args = ClusterArgs { name: NameArg { name: Some(name.to_string()) }, ..ClusterArgs::default() };
    let mut settings = Settings::new(&args, variables)?;
    settings.no_nodes = true;
    let choice = settings.choose_backend()?;
    settings.plan()?;
    if let Some(choice) = choice {
        explain(&choice);
    }
    launch(&settings, verbose).await?;
    Ok(Cluster::attach(&name).await?)
}
