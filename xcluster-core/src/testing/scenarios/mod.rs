//! Expectations about clusters of real VMs, the same for every backend: reachability, content, isolation, the MTU, access of the
//! host, many NICs. The backend's capabilities decide what is expected; its own tests check what else it can do.
//!
//! After [`conformance`](super::conformance), these are the other half of a backend's tests. A test target with
//!
//! ```no_run
//! use xcluster_core::Cluster;
//! use xcluster_core::testing::scenarios::Subject;
//! # use xcluster_core::net::NetBackend;
//! # fn my_backend() -> Box<dyn FnOnce(xcluster_core::Builder) -> xcluster_core::Builder> { unimplemented!() }
//!
//! fn subject() -> Subject {
//!     Subject::new(|| my_backend()(Cluster::builder()))
//! }
//!
//! xcluster_core::scenarios!(subject);
//! ```
//!
//! has a `#[test]` for each [`Scenario`]. It needs QEMU and the standard guest, which is built when it is first used. A boot takes
//! about three seconds of a core for each emulated VM, so each scenario checks many expectations on one cluster. Each
//! expectation is printed with its result and its time.

mod expectation;
mod fixture;
mod frames;
mod host;
mod nets;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::cluster::Builder;
use crate::name::{NetId, Role};
use crate::net::{Capabilities, NetBackend};
use crate::topology::{NetKind, NodeSpec, Topology};

use super::cluster_harness;
use fixture::{Fixture, node};

pub use expectation::{Expectation, Scenario};

/// A test for each scenario, on the [`Subject`] that a function returns: [`testing::scenarios`](crate::testing::scenarios).
#[macro_export]
macro_rules! scenarios {
    ($subject:path) => {
        $crate::scenarios!($subject; a_cluster_does_what_its_backend_promises: Everyday, nodes_have_many_nics: ManyNics);
    };
    ($subject:path; $($name:ident: $scenario:ident),+) => {$(
        #[test]
        fn $name() {
            $crate::testing::scenarios::run(&$subject(), $crate::testing::scenarios::Scenario::$scenario);
        }
    )+};
}

/// A backend to be tested, and how to make clusters on it.
#[derive(Clone)]
pub struct Subject {
    make: Arc<dyn Fn() -> Builder + Send + Sync>,
    alone: bool,
}

/// The MTU of the cluster net, unless the backend promises less. The external net has the largest that the backend promises.
const JUMBO: u16 = 9000;

impl Subject {
    /// `make` returns a builder with the backend, and whatever it needs. The scenario sets the nodes and their nets.
    pub fn new(make: impl Fn() -> Builder + Send + Sync + 'static) -> Self {
        Self { make: Arc::new(make), alone: false }
    }

    /// Leaves out the second cluster, for a backend or a host that allows one cluster at a time.
    #[must_use]
    pub const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    fn backend(&self) -> Arc<dyn NetBackend> {
        let backends = (self.make)().registry().unwrap_or_else(|problems| panic!("{problems}"));
        backends.default_backend().expect("the cluster has a backend").clone()
    }

    /// The capabilities for a kind of net.
    fn promise(&self, kind: NetKind) -> Capabilities {
        self.backend().capabilities(kind)
    }

    /// A cluster with only these nodes, each on its nets.
    fn cluster(&self, nodes: &[(u16, &[u8])]) -> Builder {
        let builder = (self.make)();
        let mut topology = builder.effective_topology();
        for role in Role::ALL {
            topology.role_mut(role).count = (role != Role::Workers).then_some(0);
        }
        topology.roles.workers.ids = Some(nodes.iter().map(|(number, _)| node(*number)).collect());
        let mut ports = BTreeMap::new();
        for (number, nets) in nodes {
            let mut nets: Vec<NetId> = nets.iter().copied().map(NetId::new).collect();
            // A backend with a limit has only the first nodes on a net.
            nets.retain(|net| {
                let count = ports.entry(*net).or_insert(0);
                *count += 1;
                self.promise(NetKind::usual(*net)).allows(*count)
            });
            let nets = Some(nets);
            *topology.node_mut(node(*number)) = NodeSpec { nets, cpus: Some(1), ..NodeSpec::default() };
        }
        for (net, largest) in [(NetId::CLUSTER, JUMBO), (NetId::EXTERNAL, u16::MAX)] {
            let carried = self.promise(NetKind::usual(net)).mtu_max;
            topology.nets.entry(net).or_default().mtu = Some(carried.min(largest).max(Topology::MTU_MIN));
        }
        builder.topology(topology)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("alone", &self.alone).finish_non_exhaustive()
    }
}

/// [`check`] for a plain `#[test]`.
///
/// # Panics
/// As [`check`].
pub fn run(subject: &Subject, scenario: Scenario) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("cannot make a runtime: {error}"));
    runtime.block_on(check(subject, scenario));
}

/// Starts a scenario's cluster, checks every expectation that the backend's capabilities imply, and checks that nothing is left.
///
/// On a host that cannot carry the backend, the scenario is skipped or fails: [`test_run::skip`](crate::test_run::skip)
/// decides.
///
/// # Panics
/// The cluster does not start, or an expectation does not hold; the others are checked all the same.
pub async fn check(subject: &Subject, scenario: Scenario) {
    if cluster_harness::is_usable(&*subject.backend()) {
        hold(subject, scenario, cluster_harness::Report::end).await;
    }
}

/// The expectations of a scenario that do not hold, and why: for tests with a lying backend.
///
/// # Panics
/// The cluster does not start, or something is left of it.
pub async fn failures(subject: &Subject, scenario: Scenario) -> Vec<(Expectation, String)> {
    let failed = RefCell::new(Vec::new());
    hold(subject, scenario, |report| *failed.borrow_mut() = report.failed().to_vec()).await;
    let expectation = |text| Expectation::ALL.into_iter().find(|expectation| expectation.text() == text);
    failed.take().into_iter().filter_map(|(text, why)| Some((expectation(text)?, why))).collect()
}

/// Starts a scenario's cluster, checks its expectations, and calls `judge` with the results while it still runs.
async fn hold(subject: &Subject, scenario: Scenario, judge: impl Fn(cluster_harness::Report)) {
    match scenario {
        Scenario::Everyday => everyday(subject, judge).await,
        Scenario::ManyNics => many_nics(subject, judge).await,
    }
}

async fn everyday(subject: &Subject, judge: impl Fn(cluster_harness::Report)) {
    let neighbours = (!subject.alone).then(|| {
        let neighbours = subject.cluster(&[(4, &[0, 1, 2])]);
        tokio::spawn(async move { cluster_harness::begin(&neighbours).await })
    });
    cluster_harness::scenario(subject.cluster(&[(1, &[0, 1, 2]), (2, &[0, 1, 2]), (3, &[0, 2])]), async |cluster| {
        let Some(neighbours) = neighbours else {
            return judge(
                check_expectations(&Fixture::new(cluster, None, subject.backend()), Scenario::Everyday).await,
            );
        };
        let (other, traces, ready) = neighbours.await.expect("the other cluster was begun");
        ready.unwrap_or_else(|error| panic!("{error:?}"));
        let fixture = Fixture::new(cluster, Some(&other), subject.backend());
        let report = check_expectations(&fixture, Scenario::Everyday).await;
        other.stop().await.expect("the other cluster can be stopped");
        traces.are_gone();
        judge(report);
    })
    .await;
}

async fn many_nics(subject: &Subject, judge: impl Fn(cluster_harness::Report)) {
    let nets: Vec<u8> = (0..).take(Topology::NICS_MAX).collect();
    cluster_harness::scenario(subject.cluster(&[(1, &nets), (2, &nets)]), async |cluster| {
        judge(check_expectations(&Fixture::new(cluster, None, subject.backend()), Scenario::ManyNics).await);
    })
    .await;
}

/// Checks those expectations of a scenario that the backend promises for a net of the cluster.
async fn check_expectations(fixture: &Fixture<'_>, scenario: Scenario) -> cluster_harness::Report {
    let mut report = cluster_harness::Report::default();
    for expectation in Expectation::ALL.into_iter().filter(|expectation| expectation.scenario() == scenario) {
        let possible = expectation != Expectation::ClustersApart || fixture.other.is_some();
        if possible && fixture.promises(|promise| expectation.is_promised_by(promise)) {
            report.check(expectation.text(), expectation.check(fixture)).await;
        }
    }
    report
}
