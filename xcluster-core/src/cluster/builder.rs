//! What to start: a topology, options, backends and a name. Starts nothing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::host::Netns;
use crate::name::{ClusterName, Role};
use crate::net::{NetBackend, Registry};
use crate::plan::{Accel, GuestSource, Options, Plan, Readiness};
use crate::topology::{Problems, Topology};

/// What to start. The default is the default topology without any backend, so a backend must be added.
///
/// A mistake in an argument is kept and reported with all others when the cluster is planned.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder starts nothing by itself"]
pub struct Builder {
    topology: Topology,
    options: Options,
    backends: Registry,
    name: Option<ClusterName>,
    folder: Option<PathBuf>,
    /// What people should know of the choice of backend.
    choice: Option<String>,
    mistakes: Problems,
}

impl Builder {
    /// The default cluster, without a backend.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a network backend; the first carries every net that names no other.
    pub fn backend(mut self, backend: impl NetBackend + 'static) -> Self {
        let backend: std::sync::Arc<dyn NetBackend> = std::sync::Arc::new(backend);
        if let Err(error) = self.backends.add(backend) {
            self.mistakes.add("backend", error);
        }
        self
    }

    /// Uses these backends.
    pub fn backends(mut self, backends: Registry) -> Self {
        self.backends = backends;
        self
    }

    /// Prefers the backends in the order in which they were added: the first that this host can use carries every net that
    /// names no other, and if it is not the first of all, a note of the plan says why.
    ///
    /// Asks the host, which [`plan`](Self::plan) does not. To be called when all backends are added.
    pub fn usable_first(mut self) -> Self {
        let (backends, passed) = self.backends.usable_first();
        self.backends = backends;
        self.choice = passed.map(|passed| format!("nets have {passed}"));
        self
    }

    /// Makes bridges and the like in this network namespace, where a backend needs one; by default in one of the cluster's
    /// own.
    pub fn netns(mut self, netns: Netns) -> Self {
        self.options.netns = netns;
        self
    }

    /// Uses this topology.
    pub fn topology(mut self, topology: Topology) -> Self {
        self.topology = topology;
        self
    }

    /// Uses these options.
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Names the cluster, so that other processes can find it; by default it gets a name that is free.
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        match ClusterName::new(name.as_ref()) {
            Ok(name) => self.name = Some(name),
            Err(error) => self.mistakes.add("name", error),
        }
        self
    }

    /// Keeps the cluster's folder under this one instead of [`host::folder::base`](crate::host::folder::base).
    pub fn folder(mut self, base: impl Into<PathBuf>) -> Self {
        self.folder = Some(base.into());
        self
    }

    /// Sets the number of workers, 0–200.
    pub fn workers(self, count: u16) -> Self {
        self.count(Role::Workers, count)
    }

    /// The same as [`Self::workers`].
    pub fn nodes(self, count: u16) -> Self {
        self.workers(count)
    }

    /// Sets the number of routers, 0–20.
    pub fn routers(self, count: u16) -> Self {
        self.count(Role::Routers, count)
    }

    /// Sets the number of testers, 0–20.
    pub fn testers(self, count: u16) -> Self {
        self.count(Role::Testers, count)
    }

    /// Sets the memory of every role's nodes, in MiB.
    pub fn memory(mut self, mebibytes: u32) -> Self {
        for role in Role::ALL {
            self.topology.role_mut(role).memory = Some(mebibytes);
        }
        self
    }

    /// Boots this guest.
    pub fn guest(mut self, guest: GuestSource) -> Self {
        self.options.guest = guest;
        self
    }

    /// Sets when a node counts as ready.
    pub fn ready_when(mut self, readiness: Readiness) -> Self {
        self.options.ready = Some(readiness);
        self
    }

    /// Sets how processors are virtualised.
    pub fn accel(mut self, accel: Accel) -> Self {
        self.options.accel = accel;
        self
    }

    /// Unpacks an overlay over the guest: a tar, a folder, or a folder with an executable `tar`.
    pub fn overlay(mut self, overlay: impl Into<PathBuf>) -> Self {
        self.options.overlays.push(overlay.into());
        self
    }

    /// Sets how long a node may take from QEMU's start until it is ready.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.options.deadline = Some(deadline);
        self
    }

    /// What a start would do. Touches nothing.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn plan(&self) -> Result<Plan, Problems> {
        let name = self.name.clone().unwrap_or_else(fresh_name);
        let mut problems = self.mistakes.clone();
        match Plan::new(name, &self.topology, self.options.clone(), &self.backends) {
            Ok(mut plan) => {
                problems.into_result()?;
                plan.notes.extend(self.choice.clone());
                Ok(plan)
            }
            Err(found) => {
                problems.extend(found);
                Err(problems)
            }
        }
    }

    /// The backends, with what the topology says to them.
    /// The topology as it is until now.
    #[cfg(feature = "testing")]
    pub(crate) const fn wanted(&self) -> &Topology {
        &self.topology
    }

    pub(crate) fn registry(&self) -> Result<Registry, Problems> {
        self.backends.configured(&self.topology.backends)
    }

    pub(super) fn base(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(crate::host::folder::base)
    }

    fn count(mut self, role: Role, count: u16) -> Self {
        self.topology.role_mut(role).count = Some(count);
        self
    }
}

/// A name that no other cluster of this process has, nor one of another process: `c4711-1`.
fn fresh_name() -> ClusterName {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("c{}-{count}", std::process::id());
    ClusterName::new(name).expect("two numbers and a letter are a short, plain name")
}
