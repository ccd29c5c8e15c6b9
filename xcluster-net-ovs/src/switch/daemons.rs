//! The two processes of a private instance.
//!
//! ```text
//! owner's thread ── supervisor ── ovsdb-server ── ovs-vswitchd
//! ```
//!
//! The database starts the switch once it answers, and ends with it. Both stay in the foreground, and the supervisor ends
//! them with the owner. All of their files are in a folder of the cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::sync::watch;
use tokio::time::timeout;
use xcluster_core::host::namespace::keep_privileges;
use xcluster_core::host::{Namespace, ProcessTree, TreeEnd};
use xcluster_core::net::NetError;

use super::vsctl::{Vsctl, VsctlCommand};
use crate::error::{self, SwitchError};
use crate::programs::{self, Programs, SERVER, TIMEOUT, TOOL, VSWITCHD};

/// The bytes of output that are kept.
const SAID_MAX: usize = 16 * 1024;

/// How long processes may take to exit after they refuse a request.
const SOON: Duration = Duration::from_secs(1);

/// How long killed processes may take to end.
const DEATH: Duration = Duration::from_secs(20);

/// The command that the database runs: it prints a line that shows that the database answers, and becomes the switch. Another
/// user's kernel datapaths are hidden from it: a switch removes those that its database does not have.
const SWITCH: &str = "echo ready; exec \"$XCLUSTER_SWITCH\" --disable-system --log-file -vconsole:off -vsyslog:off \
                      --unixctl=\"$OVS_RUNDIR/switch.ctl\" \"unix:$OVS_RUNDIR/db.sock\"";

/// The processes. Dropping them ends them.
#[derive(Debug)]
pub(crate) struct Daemons {
    tree: ProcessTree,
    db: String,
    log: Arc<DaemonLog>,
    /// The last output, once the database has ended. No request can be sent then.
    ended: watch::Receiver<Option<String>>,
}

impl Drop for Daemons {
    fn drop(&mut self) {
        self.log.expected.store(true, Ordering::Relaxed);
    }
}

impl Daemons {
    /// Starts both in a namespace, and waits until they answer. They end with the calling *thread*.
    pub(crate) async fn start(programs: &Programs, namespace: &Namespace, dir: &Path) -> Result<Self, NetError> {
        fs::create_dir_all(dir)
            .map_err(|source| NetError::io(format!("make the folder `{}`", dir.display()), source))?;
        make_database(programs, dir).await?;
        let mut command = server(programs, dir);
        let inside = namespace.inside().map_err(|source| NetError::io("enter the network namespace", source))?;
        if inside.is_none() {
            keep_privileges(&mut command);
        }
        let not_run = |source| NetError::from(SwitchError::NotRun { program: SERVER.to_owned(), source });
        let (tree, output) = ProcessTree::start(command, inside).map_err(not_run)?;
        let log = Arc::new(DaemonLog { log: dir.join("ovs-vswitchd.log"), ..DaemonLog::default() });
        tokio::spawn(keep(output.stderr, Arc::clone(&log)));
        let (tell, ended) = watch::channel(None);
        tokio::spawn(follow(output.ending, Arc::clone(&log), tell));
        let daemons = Self { tree, db: format!("unix:{}", dir.join("db.sock").display()), log, ended };
        let ready = daemons.ready(programs, output.stdout).await;
        match ready {
            Err(_) if daemons.ends_soon().await => Err(SwitchError::Ended(daemons.ended().unwrap_or_default()).into()),
            ready => Ok(ready.map(|()| daemons)?),
        }
    }

    async fn ready(&self, programs: &Programs, stdout: impl AsyncRead + Unpin) -> Result<(), SwitchError> {
        let mut lines = BufReader::new(stdout).lines();
        match timeout(TIMEOUT, lines.next_line()).await {
            // The first transaction ends when the switch has read the database.
            Ok(Ok(Some(_))) => Vsctl::new(programs, &self.db).transact(&VsctlCommand::new(["init"])).await,
            Ok(_) => Err(SwitchError::Ended("without a word".to_owned())),
            Err(_) => Err(SwitchError::Late { program: SERVER.to_owned(), seconds: TIMEOUT.as_secs() }),
        }
    }

    /// The address of the database.
    pub(crate) fn db(&self) -> &str {
        &self.db
    }

    /// The last output, if they have ended.
    pub(crate) fn ended(&self) -> Option<String> {
        self.ended.borrow().clone()
    }

    /// Whether they have ended or are exiting. A caller whose request failed wants the reason.
    pub(super) async fn ends_soon(&self) -> bool {
        timeout(SOON, self.ended.clone().wait_for(Option::is_some)).await.is_ok()
    }

    /// Ends both, and waits until they are gone.
    pub(crate) async fn end(&self) -> Result<(), NetError> {
        self.log.expected.store(true, Ordering::Relaxed);
        let late = |_| NetError::from(SwitchError::Late { program: VSWITCHD.to_owned(), seconds: DEATH.as_secs() });
        timeout(DEATH, self.tree.end()).await.map_err(late)
    }
}

/// The output of the processes, and whether it is closed.
#[derive(Debug, Default)]
struct DaemonLog {
    said: Mutex<Vec<u8>>,
    log: PathBuf,
    expected: AtomicBool,
}

impl DaemonLog {
    fn last(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let said = error::said(&String::from_utf8_lossy(&said), SERVER);
        let log = || error::said(&fs::read_to_string(&self.log).ok()?, VSWITCHD);
        said.or_else(log).unwrap_or_else(|| "without a word".to_owned())
    }
}

/// Waits for the end of the database, and reports it.
async fn follow(mut ending: TreeEnd, log: Arc<DaemonLog>, tell: watch::Sender<Option<String>>) {
    // The output tells how it ended.
    let _ = ending.wait().await;
    let said = log.last();
    if !log.expected.load(Ordering::Relaxed) {
        tracing::warn!(said, "the cluster's Open vSwitch has ended");
    }
    tell.send_replace(Some(said));
}

async fn make_database(programs: &Programs, dir: &Path) -> Result<(), NetError> {
    let db = dir.join("conf.db");
    if db.exists() {
        return Ok(());
    }
    let mut command = programs.command(TOOL);
    command.arg("create").arg(db).arg("-vsyslog:off");
    Ok(programs::run(TOOL, command).await.map(drop)?)
}

fn server(programs: &Programs, dir: &Path) -> Command {
    let mut command = programs.command(SERVER);
    for folder in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
        command.env(folder, dir);
    }
    command.env("XCLUSTER_SWITCH", programs.path(VSWITCHD)).arg(format!("--run={SWITCH}"));
    command.args(["-vconsole:warn", "-vsyslog:off"]);
    command.arg(format!("--remote=punix:{}", dir.join("db.sock").display()));
    command.arg(format!("--unixctl={}", dir.join("db.ctl").display())).arg(dir.join("conf.db"));
    command
}

/// Reads a pipe, so that its writer never blocks, and keeps the end of the text.
async fn keep(mut from: impl AsyncRead + Unpin, log: Arc<DaemonLog>) {
    let mut part = [0; 1024];
    while let Ok(length @ 1..) = from.read(&mut part).await {
        let mut said = log.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend(&part[..length]);
        let surplus = said.len().saturating_sub(SAID_MAX);
        said.drain(..surplus);
    }
}
