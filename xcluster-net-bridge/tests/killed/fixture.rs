//! A namespace in which owners are killed, and its state before and after.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, timeout_at};
use xcluster_core::host::namespace::NamespaceEntry;
use xcluster_core::host::{Namespace, Netns, folder};
use xcluster_core::plan::Step;
use xcluster_core::testing::leftovers::{Snapshot, Watch};
use xcluster_core::testing::{TestFailure, ensure};

use crate::nsid::Nsid;
use crate::owner::{Moment, Owner, OwnerConfig};
use crate::process_tree;

/// How long the kernel may take to free an owner's objects. On an idle host it takes 0.02 s without a VM, and 0.3 s with one.
const GONE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Fixture {
    config: OwnerConfig,
    /// The namespace of all owners, if it is not the test's.
    shared: Option<Namespace>,
    _folder: TempDir,
}

impl Fixture {
    /// A fixture with a fake QEMU that is up at once.
    pub(crate) fn fake() -> Result<Self, TestFailure> {
        Self::new(Netns::Private, false)
    }

    /// The same, with owners that make bridges in their own namespace.
    pub(crate) fn shared() -> Result<Self, TestFailure> {
        Ok(Self { shared: Some(Namespace::private()?), ..Self::new(Netns::Here, false)? })
    }

    /// A fixture with real VMs.
    pub(crate) fn real() -> Result<Self, TestFailure> {
        Self::new(Netns::Private, true)
    }

    fn new(netns: Netns, real: bool) -> Result<Self, TestFailure> {
        process_tree::adopt()?;
        let folder = tempfile::tempdir()?;
        let config = OwnerConfig { folder: folder.path().to_owned(), netns, real };
        // Folders of clusters must not be accessible to other users.
        DirBuilder::new().mode(0o700).create(config.base())?;
        fs::write(folder.path().join("kernel"), "no kernel")?;
        Ok(Self { config, shared: None, _folder: folder })
    }

    pub(crate) fn owner(&self) -> Result<Owner, TestFailure> {
        Owner::start(&self.config, self.inside()?)
    }

    fn inside(&self) -> Result<Option<NamespaceEntry>, TestFailure> {
        Ok(self.shared.as_ref().map(Namespace::inside).transpose()?.flatten())
    }

    /// The starts and ends of steps.
    pub(crate) fn moments(&self, of: impl Fn(&Step) -> bool) -> Result<Vec<Moment>, TestFailure> {
        let steps = self.config.builder().plan()?.steps().into_iter().filter(|step| of(step));
        Ok(steps.flat_map(|step| [Moment::Begin(step.clone()), Moment::Done(step)]).collect())
    }

    /// The current processes, links, host locks and ports of this namespace, and the folders of clusters.
    pub(crate) fn look(&self) -> Snapshot {
        Watch::new().folder(self.config.base()).look()
    }

    /// The links in the namespace of the owners.
    pub(crate) fn links(&self) -> Result<Vec<String>, TestFailure> {
        let mut command = Command::new("cat");
        command.arg("/proc/self/net/dev");
        if let Some(inside) = self.inside()? {
            inside.enter(&mut command);
        }
        let table = String::from_utf8(command.output()?.stdout)?;
        Ok(table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect())
    }

    /// Kills an owner and removes its folder; then the state is as before.
    pub(crate) async fn nothing_is_left_after(&self, moment: &Moment) -> Result<(), TestFailure> {
        let before = self.look();
        self.is_killed_at(moment).await?;
        let checked = || {
            let alive = folder::running(&self.config.base())?;
            ensure(alive.is_empty(), || format!("a cluster is taken to live: {alive:?}"))?;
            self.look().same_as(&before)
        };
        checked().map_err(|failed: TestFailure| failed.during(moment))
    }

    /// Kills an owner; its processes end, and so does the namespace of its cluster.
    pub(crate) async fn is_killed_at(&self, moment: &Moment) -> Result<(), TestFailure> {
        self.kill_at(moment).await.map_err(|failed| failed.during(moment))
    }

    async fn kill_at(&self, moment: &Moment) -> Result<(), TestFailure> {
        let mut owner = self.owner()?;
        owner.until(moment).await?;
        let namespace = match owner.namespace()? {
            Some(namespace) => Some(Nsid::give(&namespace).await?),
            None => None,
        };
        // An object that was not made cannot be left.
        let made = self.shared.is_some() || namespace.is_some();
        ensure(made || moment.is_first(), || "its cluster has no namespace".to_owned())?;
        let (processes, nodes) = (process_tree::members(owner.pid).len(), self.config.builder().plan()?.nodes.len());
        ensure(!matches!(moment, Moment::Ready) || processes == 1 + nodes, || format!("{processes} processes run"))?;

        owner.kill().await?;
        let deadline = Instant::now() + GONE;
        process_tree::wait_ended(owner.pid, deadline).await?;
        if let Some(namespace) = namespace {
            timeout_at(deadline, namespace.is_void())
                .await
                .map_err(|_| TestFailure::new("its namespace is left"))??;
        }
        Ok(())
    }
}
