//! What clusters of real VMs show, the same on every backend: reachability, content, isolation, the MTU, the host, many
//! NICs. What is expected follows from the backend's capabilities; what a backend has besides is for its own tests to say.
//!
//! After [`conformance`](super::conformance), these are the other half of a backend's tests. A target of its own with
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
//! has a `#[test]` for each [`Scenario`]. Needed are QEMU and the standard guest, which is built when it is first used. Booting
//! is what costs time, about three seconds of a core for each VM that is emulated, so each scenario is one cluster with many
//! expectations. Every expectation is told as it is checked, with the time that it took.

mod expectation;
mod fixture;
mod frames;
mod host;
mod nets;
mod nics;

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use crate::cluster::Builder;
use crate::name::{NetId, NodeId, Role};
use crate::net::{Capabilities, NetBackend};
use crate::topology::{NetKind, NodeSpec, Topology};

use super::cluster_harness;
use fixture::Fixture;

pub use expectation::Expectation;

/// Tests for every scenario, on the [`Subject`] that a function gives: [`testing::scenarios`](crate::testing::scenarios).
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

/// A cluster, and what is expected of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Three nodes on three nets, with frames as large as they may be; and beside them a second cluster.
    Everyday,
    /// Two nodes with as many NICs as a topology may give them.
    ManyNics,
}

/// What is put to the scenarios.
#[derive(Clone)]
pub struct Subject {
    make: Arc<dyn Fn() -> Builder + Send + Sync>,
    alone: bool,
}

/// The largest MTU of the cluster net. The external net has the largest that its backend promises.
const JUMBO: u16 = 9000;

impl Subject {
    /// Clusters as this makes them: with the backend, and whatever it needs. The scenario sets who is on which net.
    pub fn new(make: impl Fn() -> Builder + Send + Sync + 'static) -> Self {
        Self { make: Arc::new(make), alone: false }
    }

    /// The same where there can be no second cluster at the same time.
    #[must_use]
    pub const fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    fn backend(&self) -> Arc<dyn NetBackend> {
        let backends = (self.make)().registry().unwrap_or_else(|problems| panic!("{problems}"));
        backends.default_backend().expect("the cluster has a backend").clone()
    }

    /// What the backend promises for a kind of net.
    fn promise(&self, kind: NetKind) -> Capabilities {
        self.backend().capabilities(kind)
    }

    /// A cluster with these nodes, each on its nets, and nobody else.
    fn cluster(&self, nodes: &[(u16, &[u8])]) -> Builder {
        let builder = (self.make)();
        let mut topology = builder.effective_topology();
        for role in Role::ALL {
            topology.role_mut(role).count = (role != Role::Workers).then_some(0);
        }
        topology.roles.workers.ids = Some(nodes.iter().map(|(number, _)| node(*number)).collect());
        for (number, nets) in nodes {
            let nets = Some(nets.iter().copied().map(NetId::new).collect());
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

/// [`check`] for an ordinary `#[test]`.
///
/// # Panics
/// As that does.
pub fn run(subject: &Subject, scenario: Scenario) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("there is no runtime: {error}"));
    runtime.block_on(check(subject, scenario));
}

/// Starts a scenario's cluster, checks every expectation that the backend's capabilities imply, and sees that nothing is left.
///
/// Where the host cannot carry the backend at all nothing is tested, which is said; with `CI` in the environment it fails.
///
/// # Panics
/// The cluster does not start, or an expectation does not hold; the others are checked all the same.
pub async fn check(subject: &Subject, scenario: Scenario) {
    if cluster_harness::is_usable(&*subject.backend()) {
        hold(subject, scenario, cluster_harness::Report::end).await;
    }
}

/// The expectations of a scenario that do not hold, and why: for those who want to see that one is noticed.
///
/// # Panics
/// The cluster does not start, or something is left of it.
pub async fn failures(subject: &Subject, scenario: Scenario) -> Vec<(Expectation, String)> {
    let failed = RefCell::new(Vec::new());
    hold(subject, scenario, |report| *failed.borrow_mut() = report.failed().to_vec()).await;
    let expectation = |text| Expectation::ALL.into_iter().find(|expectation| expectation.text() == text);
    failed.take().into_iter().filter_map(|(text, why)| Some((expectation(text)?, why))).collect()
}

/// Starts a scenario's cluster and has somebody judge what came of its expectations while it still runs.
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
        let (other, traces, ready) = neighbours.await.expect("the other cluster is begun");
        ready.unwrap_or_else(|error| panic!("{}", cluster_harness::describe(&error)));
        let fixture = Fixture::new(cluster, Some(&other), subject.backend());
        let report = check_expectations(&fixture, Scenario::Everyday).await;
        other.stop().await.expect("nothing keeps the other cluster from being stopped");
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

/// Checks those expectations of a scenario that something of the cluster promises.
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

fn node(number: u16) -> NodeId {
    NodeId::new(number).expect("the scenarios have numbers of nodes")
}
