//! An Open vSwitch that takes commands: a private instance, or the host's.
//!
//! * [`Switch`]: start here.
//! * `vsctl`: one transaction, and its outcome.
//! * `batch`: many commands as one transaction.
//! * `daemons`: the processes of a private instance.
//! * `table`: the answers of the database.

mod batch;
mod daemons;
mod table;
mod vsctl;

use std::path::{Path, PathBuf};

use xcluster_core::host::Namespace;
use xcluster_core::host::folder::Subfolder;
use xcluster_core::net::NetError;

use crate::error::{self, SwitchError};
use crate::programs::{self, OFCTL, Programs};

pub(crate) use table::Row;
pub(crate) use vsctl::{Vsctl, VsctlCommand};

pub(crate) use daemons::Daemons;

use batch::Batch;

/// The datapath, which forwards the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datapath {
    /// The kernel.
    System,
    /// The switch's own process, which reads frames from packet sockets.
    Netdev,
}

impl Datapath {
    /// Its name in the database.
    pub(crate) const fn type_name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Netdev => "netdev",
        }
    }
}

/// An Open vSwitch.
#[derive(Debug)]
pub(crate) struct Switch {
    vsctl: Vsctl,
    batch: Batch,
    /// The folder of the bridges' OpenFlow sockets.
    sockets: PathBuf,
    pub(crate) datapath: Datapath,
    /// The processes; `None` for the host's.
    daemons: Option<Daemons>,
    /// The files of a private instance. After the daemons, so that they have ended when it is removed.
    folder: Option<Subfolder>,
}

impl Switch {
    /// Starts a private instance in a namespace, with all of its files in this folder. It ends with the calling *thread*,
    /// which must be in a tokio runtime.
    pub(crate) async fn start(programs: &Programs, namespace: &Namespace, folder: Subfolder) -> Result<Self, NetError> {
        let daemons = Daemons::start(programs, namespace, folder.path()).await?;
        let vsctl = Vsctl::new(programs, daemons.db());
        let switch = Self::told_by(vsctl, folder.path(), Datapath::Netdev, Some(daemons));
        Ok(Self { folder: Some(folder), ..switch })
    }

    /// The host's.
    pub(crate) async fn of_host(programs: &Programs, db: &str) -> Result<Self, NetError> {
        let vsctl = Vsctl::new(programs, db);
        let types = vsctl.read(["--columns=datapath_types", "list", "Open_vSwitch"]).await;
        let types = types.map_err(|trouble| error::no_database(db, &trouble))?;
        let knows =
            |type_name: &str| types.iter().any(|row| row.set("datapath_types").iter().any(|kind| kind == type_name));
        // The database has the program's supported datapaths, and not those of the kernel.
        let in_kernel = knows(Datapath::System.type_name()) && Path::new("/sys/module/openvswitch").exists();
        let datapath = if in_kernel { Datapath::System } else { Datapath::Netdev };
        let socket = db.strip_prefix("unix:").and_then(|path| Path::new(path).parent());
        let sockets = socket.unwrap_or(Path::new("/var/run/openvswitch"));
        Ok(Self::told_by(vsctl, sockets, datapath, None))
    }

    fn told_by(vsctl: Vsctl, sockets: &Path, datapath: Datapath, daemons: Option<Daemons>) -> Self {
        let batch = Batch::start(vsctl.clone());
        Self { vsctl, batch, sockets: sockets.to_owned(), datapath, daemons, folder: None }
    }

    /// Carries out a command, maybe together with others, and checks the outcome.
    pub(crate) async fn transact(&self, command: VsctlCommand) -> Result<(), SwitchError> {
        self.lives()?;
        match (self.batch.run(command).await, &self.daemons) {
            // An error of the switch does not mean that it ended.
            (Err(trouble @ SwitchError::Interface { .. }), _) => Err(trouble),
            (Err(trouble), Some(daemons)) if daemons.ends_soon().await => self.lives().and(Err(trouble)),
            (outcome, _) => outcome,
        }
    }

    /// Reads from the database.
    pub(crate) async fn read<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Vec<Row>, SwitchError> {
        self.lives()?;
        self.vsctl.read(args).await
    }

    /// Sends a bridge a command over OpenFlow.
    pub(crate) async fn openflow(&self, bridge: &str, verb: &str, file: &Path) -> Result<String, SwitchError> {
        let socket = format!("unix:{}", self.sockets.join(format!("{bridge}.mgmt")).display());
        let mut command = self.vsctl.programs().command(OFCTL);
        // A bundle is carried out as a whole or not at all. OpenFlow has bundles since version 1.4.
        command.args(["--bundle", "-O", "OpenFlow14", "--timeout=30", verb, &socket]).arg(file);
        programs::run(OFCTL, command).await
    }

    /// Whether the processes are running, if they are ours.
    fn lives(&self) -> Result<(), SwitchError> {
        match self.daemons.as_ref().and_then(Daemons::ended) {
            Some(said) => Err(SwitchError::Ended(said)),
            None => Ok(()),
        }
    }

    /// Whether a private instance has ended, with all that it had.
    pub(crate) fn has_ended(&self) -> bool {
        self.lives().is_err()
    }

    /// Ends a private instance, and waits until its processes are gone.
    pub(crate) async fn end(&self) -> Result<(), NetError> {
        if let Some(daemons) = &self.daemons {
            daemons.end().await?;
        }
        if let Some(folder) = &self.folder {
            // What cannot be removed now is removed with the cluster's folder.
            let _ = folder.remove();
        }
        Ok(())
    }
}
