//! For tests (feature `testing`): an Open vSwitch in the place of the host's. Not covered by semantic versioning.

use std::path::Path;

use xcluster_core::host::Namespace;
use xcluster_core::name::{ClusterName, NetId};
use xcluster_core::net::NetError;

use crate::config::OvsConfig;
use crate::names::Names;
use crate::programs::{self, Programs, VSCTL};
use crate::switch::Daemons;

/// An Open vSwitch in the network namespace that the calling thread is in, as a host has one. It ends when it is dropped, and
/// with the thread that started it.
#[derive(Debug)]
pub struct HostSwitch {
    daemons: Daemons,
}

impl HostSwitch {
    /// Where the database of one is that has its files in this folder.
    pub fn db_in(dir: &Path) -> String {
        format!("unix:{}", dir.join("db.sock").display())
    }

    /// Starts one with its files in this folder; what a database there says it has again. Must run in a tokio runtime.
    ///
    /// # Errors
    /// Open vSwitch is not installed, or does not run here.
    pub async fn start(dir: &Path) -> Result<Self, NetError> {
        let programs = Programs::find(&OvsConfig::default())?;
        Ok(Self { daemons: Daemons::start(&programs, &Namespace::here(), dir).await? })
    }

    /// Where its database is.
    pub fn db(&self) -> &str {
        self.daemons.db()
    }

    /// Kills it, and waits until its processes are gone.
    ///
    /// # Errors
    /// They do not end.
    pub async fn end(&self) -> Result<(), NetError> {
        self.daemons.end().await
    }
}

/// Has `ovs-vsctl` tell or ask a database something, as an administrator would, and gives what that prints.
///
/// # Errors
/// It says no.
pub async fn vsctl(db: &str, args: &[&str]) -> Result<String, NetError> {
    let mut command = Programs::find(&OvsConfig::default())?.command(VSCTL);
    command.arg(format!("--db={db}")).arg("--timeout=30").args(args);
    Ok(programs::run(VSCTL, command).await?)
}

/// What the bridge of a net of this user's cluster is called in the host's Open vSwitch.
pub fn bridge_name(cluster: &ClusterName, net: NetId) -> String {
    Names::marked(cluster, nix::unistd::getuid().as_raw()).bridge(net)
}
