//! The owner of a cluster: another process, which starts the cluster, reports its progress, and is killed.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::time::timeout;
use xcluster_core::cluster::Events;
use xcluster_core::host::Netns;
use xcluster_core::host::namespace::NamespaceEntry;
use xcluster_core::plan::{Accel, GuestSource, Options, Readiness, Step};
use xcluster_core::testing::{TestFailure, ensure};
use xcluster_core::{Builder, Cluster, Event};
use xcluster_net_bridge::BridgeBackend;

/// The deadline of a moment in a start: that of real VMs on a busy host.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The argument that makes this program an owner.
const OWN: &str = "--own";

/// A QEMU that is up at once. Not written by a test, because a file that a forking process has open for writing cannot be
/// executed.
const FAKE_QEMU: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/killed/qemu.sh");

/// A moment of a start.
#[derive(Debug, Clone)]
pub(crate) enum Moment {
    Begin(Step),
    Done(Step),
    Ready,
}

impl Moment {
    fn is(&self, event: &Event) -> bool {
        match (self, event) {
            (Self::Begin(wanted), Event::Begin { step }) | (Self::Done(wanted), Event::Done { step, .. }) => {
                wanted == step
            }
            (Self::Ready, Event::Ready) => true,
            _ => false,
        }
    }

    /// Whether nothing was made before it.
    pub(crate) fn is_first(&self) -> bool {
        matches!(self, Self::Begin(Step::Netns { .. }))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(step) => write!(f, "killed when about to {step}"),
            Self::Done(step) => write!(f, "killed after it could {step}"),
            Self::Ready => f.write_str("killed when all was ready"),
        }
    }
}

/// The configuration of an owner.
#[derive(Debug, Clone)]
pub(crate) struct OwnerConfig {
    /// The folders of clusters are in `clusters`; `kernel` is an empty file for nodes that are not real VMs.
    pub(crate) folder: PathBuf,
    pub(crate) netns: Netns,
    pub(crate) real: bool,
}

impl OwnerConfig {
    /// The configuration of this process, if it is an owner.
    pub(crate) fn given() -> Option<Self> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let [own, folder, netns, real] = args.as_slice() else { return None };
        let (netns, real) = (netns.parse().ok()?, real.parse().ok()?);
        (own == OWN).then(|| Self { folder: folder.into(), netns, real })
    }

    /// The folder of the clusters' folders.
    pub(crate) fn base(&self) -> PathBuf {
        self.folder.join("clusters")
    }

    /// Two nodes and a router; or one node and a router if they are real VMs, which each take a core while they boot.
    pub(crate) fn builder(&self) -> Builder {
        let builder = Cluster::builder().backend(BridgeBackend::default()).folder(self.base()).routers(1);
        if self.real {
            return builder.nodes(1);
        }
        let file = |name| Some(self.folder.join(name));
        let mut options = Options::default();
        options.qemu = PathBuf::from(FAKE_QEMU);
        options.accel = Accel::Tcg;
        options.guest = GuestSource::Kernel { kernel: file("kernel"), initramfs: file("kernel") };
        options.ready = Some(Readiness::Console("the guest is up".to_owned()));
        options.netns = self.netns.clone();
        builder.options(options).nodes(2)
    }

    /// The code of an owner. It stops its cluster on request, or when its parent has gone.
    pub(crate) fn carry_out(&self) -> ExitCode {
        match self.own() {
            Ok(()) => ExitCode::SUCCESS,
            Err(failed) => {
                let _ = writeln!(io::stderr(), "the owner failed: {failed}");
                ExitCode::FAILURE
            }
        }
    }

    fn own(&self) -> Result<(), TestFailure> {
        // Its processes are found by their session.
        nix::unistd::setsid()?;
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(|| {
            let _ = io::copy(&mut io::stdin(), &mut io::sink());
            stop.send(())
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(async {
            let cluster = Cluster::begin(&self.builder())?;
            let events = tell(cluster.events());
            tokio::select! {
                reported = events => reported?,
                _ = stopped => cluster.stop().await?,
            }
            Ok(())
        })
    }
}

async fn tell(mut events: Events) -> Result<(), TestFailure> {
    while let Some(event) = events.next().await {
        writeln!(io::stdout(), "{}", serde_json::to_string(&event)?)?;
    }
    Ok(())
}

/// A running owner. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Owner {
    child: Child,
    pub(crate) pid: i32,
    reported: Lines<BufReader<ChildStdout>>,
}

impl Owner {
    /// Starts it, in another namespace if there is one.
    pub(crate) fn start(config: &OwnerConfig, elsewhere: Option<NamespaceEntry>) -> Result<Self, TestFailure> {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command.arg(OWN).arg(&config.folder).args([config.netns.to_string(), config.real.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(inside) = elsewhere {
            inside.enter(&mut command);
        }
        let mut child = Command::from(command).kill_on_drop(true).spawn()?;
        let (pid, reported) = (child.id(), child.stdout.take());
        let (Some(pid), Some(reported)) = (pid, reported) else {
            return Err(TestFailure::new("the owner says nothing"));
        };
        Ok(Self { child, pid: pid.try_into()?, reported: BufReader::new(reported).lines() })
    }

    /// Follows the start until a moment.
    pub(crate) async fn until(&mut self, moment: &Moment) -> Result<(), TestFailure> {
        timeout(TIMEOUT, async {
            while let Some(line) = self.reported.next_line().await? {
                let event: Event = serde_json::from_str(&line)?;
                match event {
                    event if moment.is(&event) => return Ok(()),
                    Event::Failed { error, .. } => return Err(TestFailure::new(error).during("the start failed")),
                    _ => {}
                }
            }
            Err(TestFailure::new("the owner has ended"))
        })
        .await
        .map_err(|_| TestFailure::new("the moment does not come"))?
    }

    /// Makes it stop its cluster and end.
    pub(crate) async fn stop(mut self) -> Result<(), TestFailure> {
        drop(self.child.stdin.take());
        let ended =
            timeout(TIMEOUT, self.child.wait()).await.map_err(|_| TestFailure::new("the owner does not end"))??;
        ensure(ended.success(), || ended.to_string())
    }

    /// Kills it with signal 9.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        self.child.kill().await
    }

    /// The network namespace that it has open without being in it: a private one.
    pub(crate) fn namespace(&self) -> io::Result<Option<File>> {
        let process = Path::new("/proc").join(self.pid.to_string());
        let around = fs::read_link(process.join("ns/net"))?;
        let is_other = |path: &PathBuf| {
            let target = fs::read_link(path).unwrap_or_default();
            target.to_string_lossy().starts_with("net:[") && target != around
        };
        let mut open = fs::read_dir(process.join("fd"))?.flatten().map(|entry| entry.path());
        open.find(is_other).map(File::open).transpose()
    }
}
