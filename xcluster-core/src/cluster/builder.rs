//! The description of a start: a topology, options, backends and a name. It starts nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::host::Netns;
use crate::name::{ClusterName, Role};
use crate::net::{NetBackend, Registry};
use crate::plan::{Accel, GuestSource, Options, Plan, Readiness};
use crate::topology::{Problems, Topology};

/// The description of a start: a topology, options, backends and a name.
///
/// Without a [topology](Self::topology), only nodes that are asked for exist: `nodes(2)` starts two. The cluster of the original
/// xcluster, four workers and two routers, is [`Topology::default`]. On top of a topology, a count or a memory replaces its own.
/// Each setting counts, in whichever order they are made.
///
/// A mistake in an argument is kept and reported with all others when the cluster is planned.
#[derive(Debug, Clone, Default)]
#[must_use = "a builder starts nothing by itself"]
pub struct Builder {
    topology: Option<Topology>,
    /// The counts that were set, the last one of a role counts.
    counts: Vec<(Role, u16)>,
    memory: Option<u32>,
    options: Options,
    /// Options that were set one by one.
    set: SetOptions,
    backends: Registry,
    name: Option<ClusterName>,
    folder: Option<PathBuf>,
    /// Why the first backend was not chosen, for people.
    choice: Option<String>,
    mistakes: Problems,
}

/// Options that were set one by one, which replace those of [`Builder::options`].
#[derive(Debug, Clone, Default)]
struct SetOptions {
    netns: Option<Netns>,
    guest: Option<GuestSource>,
    ready: Option<Readiness>,
    accel: Option<Accel>,
    deadline: Option<Duration>,
    overlays: Vec<PathBuf>,
}

impl Builder {
    /// No nodes and no backend yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a network backend; the first carries every net that names no other.
    pub fn backend(mut self, backend: impl NetBackend + 'static) -> Self {
        self.add(Arc::new(backend));
        self
    }

    /// Adds these backends, in their order.
    pub fn backends(mut self, backends: Registry) -> Self {
        for backend in backends.names().filter_map(|name| backends.find(name).ok()) {
            self.add(backend.clone());
        }
        self
    }

    fn add(&mut self, backend: Arc<dyn NetBackend>) {
        if let Err(error) = self.backends.add(backend) {
            self.mistakes.add("backend", error);
        }
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
        self.set.netns = Some(netns);
        self
    }

    /// Uses this topology, with the counts and the memory that are set here.
    pub fn topology(mut self, topology: Topology) -> Self {
        self.topology = Some(topology);
        self
    }

    /// Uses these options, with those that are set here one by one.
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

    /// The short name of [`Self::workers`].
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

    /// Sets the memory of the nodes of every role, in MiB.
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.memory = Some(mebibytes);
        self
    }

    /// Boots this guest.
    pub fn guest(mut self, guest: GuestSource) -> Self {
        self.set.guest = Some(guest);
        self
    }

    /// Sets when a node counts as ready.
    pub fn ready_when(mut self, readiness: Readiness) -> Self {
        self.set.ready = Some(readiness);
        self
    }

    /// Sets how processors are virtualised.
    pub fn accel(mut self, accel: Accel) -> Self {
        self.set.accel = Some(accel);
        self
    }

    /// Unpacks an overlay over the guest: a tar, a folder, or a folder with an executable `tar`.
    pub fn overlay(mut self, overlay: impl Into<PathBuf>) -> Self {
        self.set.overlays.push(overlay.into());
        self
    }

    /// Sets how long a node may take from QEMU's start until it is ready.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.set.deadline = Some(deadline);
        self
    }

    /// The plan of a start. It has no effects.
    ///
    /// # Errors
    /// Every mistake, at once.
    pub fn plan(&self) -> Result<Plan, Problems> {
        let name = self.name.clone().unwrap_or_else(fresh_name);
        let mut problems = self.mistakes.clone();
        match Plan::new(name, &self.effective_topology(), self.effective_options(), &self.backends) {
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

    /// The topology with what was set on top of it.
    pub(crate) fn effective_topology(&self) -> Topology {
        let mut topology = self.topology.clone().unwrap_or_else(|| {
            let mut empty = Topology::default();
            Role::ALL.into_iter().for_each(|role| empty.role_mut(role).count = Some(0));
            empty
        });
        for (role, count) in &self.counts {
            let spec = topology.role_mut(*role);
            spec.count = Some(*count);
            // A list of numbers is another way to give the count.
            spec.ids = None;
        }
        if let Some(memory) = self.memory {
            Role::ALL.into_iter().for_each(|role| topology.role_mut(role).memory = Some(memory));
        }
        topology
    }

    /// The options with what was set on top of them.
    fn effective_options(&self) -> Options {
        let mut options = self.options.clone();
        let SetOptions { netns, guest, ready, accel, deadline, overlays } = self.set.clone();
        options.netns = netns.unwrap_or(options.netns);
        options.guest = guest.unwrap_or(options.guest);
        options.ready = ready.or(options.ready);
        options.accel = accel.unwrap_or(options.accel);
        options.deadline = deadline.or(options.deadline);
        options.overlays.extend(overlays);
        options
    }

    /// The backends, with the settings of the topology.
    pub(crate) fn registry(&self) -> Result<Registry, Problems> {
        self.backends.configured(&self.effective_topology().backends)
    }

    pub(super) fn base(&self) -> PathBuf {
        self.folder.clone().unwrap_or_else(crate::host::folder::base)
    }

    fn count(mut self, role: Role, count: u16) -> Self {
        self.counts.push((role, count));
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
