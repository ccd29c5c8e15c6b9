//! For tests (feature `testing`): an Open vSwitch in place of the host's. Not covered by semantic versioning.

use std::path::Path;

use xcluster_core::host::Namespace;
use xcluster_core::name::{ClusterName, NetId};
use xcluster_core::net::NetError;

use crate::config::OvsConfig;
use crate::names::Names;
use crate::programs::{self, Programs, VSCTL};
use crate::switch::Daemons;

/// An Open vSwitch in the network namespace of the calling thread, as a host has one. It ends when it is dropped, and with
/// the thread that started it.
#[derive(Debug)]
pub struct HostSwitch {
    daemons: Daemons,
}

impl HostSwitch {
    /// The database of an instance with its files in this folder.
    pub fn db_in(dir: &Path) -> String {
        format!("unix:{}", dir.join("db.sock").display())
    }

    /// Starts one with its files in this folder. An existing database is used again. Must run in a tokio runtime.
    ///
    /// # Errors
    /// Open vSwitch is not installed, or does not start here.
    pub async fn start(dir: &Path) -> Result<Self, NetError> {
        let programs = Programs::find(&OvsConfig::default())?;
        Ok(Self { daemons: Daemons::start(&programs, &Namespace::here(), dir).await? })
    }

    /// The address of its database.
    pub fn db(&self) -> &str {
        self.daemons.db()
    }

    /// Kills it, and waits until its processes are gone.
    ///
    /// # Errors
    /// The processes do not end.
    pub async fn end(&self) -> Result<(), NetError> {
        self.daemons.end().await
    }
}

/// Runs `ovs-vsctl` on a database, as an administrator would, and returns its output.
///
/// # Errors
/// It fails.
pub async fn vsctl(db: &str, args: &[&str]) -> Result<String, NetError> {
    let mut command = Programs::find(&OvsConfig::default())?.command(VSCTL);
    command.arg(format!("--db={db}")).arg("--timeout=30").args(args);
    Ok(programs::run(VSCTL, command).await?)
}

/// The name of a net's bridge in the host's Open vSwitch, for a cluster of this user.
pub fn bridge_name(cluster: &ClusterName, net: NetId) -> String {
    Names::marked(cluster, nix::unistd::getuid().as_raw()).bridge(net)
}
