//! The conformance suite: the contract of [`NetBackend`], number by number, as trials for any backend. It starts neither
//! clusters nor guests. It needs QEMU, and no privilege.
//!
//! The test target of a backend, with `harness = false`:
//!
//! ```no_run
//! use std::process::ExitCode;
//! use std::sync::Arc;
//!
//! use xcluster_core::net::NetBackend;
//! use xcluster_core::testing::{conformance, harness};
//!
//! # fn my_backend() -> Arc<dyn NetBackend> { unimplemented!() }
//! fn main() -> ExitCode {
//!     let subject = conformance::Subject::new(my_backend);
//!     harness::main(conformance::trials(&subject).into_iter().map(conformance::Trial::into_test).collect())
//! }
//! ```
//!
//! The backend's capabilities decide which trials there are: a promise that it does not make is not tested.

mod contract_case;
mod fixture;
mod lifecycle;
mod netns_mode;
mod objects;
mod qemu_args;
mod traffic;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;

use super::traffic::{Frames, Traffic};
use super::{TestFailure, harness};
use crate::host::Netns;
use crate::name::{NetId, NodeId};
use crate::net::{BackendContext, Capabilities, Net, NetBackend, Port};

use netns_mode::NetnsMode;

pub use contract_case::ContractCase;

/// The contract, with the text of [`NetBackend`]; the first is number 1.
pub const CONTRACT: [&str; 9] = [
    "A repeated setup answers the same args and access and makes nothing new.",
    "Teardown of what is absent succeeds.",
    "A durable backend can undo from the request alone in another process.",
    "Only objects named after the request are touched, and a foreign object of that name is a conflict, left as it was.",
    "Ports of different nodes are set up concurrently.",
    "A failed setup leaves nothing that teardown would not remove.",
    "Real QEMU accepts the arguments.",
    "After `delete_net` the host looks as before.",
    "What the capabilities promise, traffic shows.",
];

/// How long a trial may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// A backend to be tested, and what the trials must know about it.
#[derive(Clone)]
pub struct Subject {
    make: Arc<dyn Fn() -> Arc<dyn NetBackend> + Send + Sync>,
    nets: Vec<Net>,
    folders: Vec<PathBuf>,
    foreign_objects: Option<Arc<dyn ForeignObjects>>,
    traffic: Arc<dyn Traffic>,
    netns_mode: NetnsMode,
}

/// Makes objects that are foreign to a cluster, with the names that its backend uses.
#[async_trait(?Send)]
pub trait ForeignObjects: fmt::Debug + Send + Sync {
    /// Makes an object with the name that the backend would use for this net of the context's cluster.
    ///
    /// # Errors
    /// It could not be made.
    async fn plant(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), TestFailure>;

    /// Removes the object, which must be unchanged.
    ///
    /// # Errors
    /// It was changed, or it is gone.
    async fn remove_intact(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), TestFailure>;
}

impl Subject {
    /// A backend. `make` returns a new one at each call, as another process would have.
    pub fn new(make: impl Fn() -> Arc<dyn NetBackend> + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(make),
            nets: [NetId::INTERNAL, NetId::CLUSTER, NetId::EXTERNAL].map(Net::new).into(),
            folders: Vec::new(),
            foreign_objects: None,
            traffic: Arc::new(Frames::default()),
            netns_mode: NetnsMode::default(),
        }
    }

    /// Uses these nets instead of the internal, the cluster and the external one.
    #[must_use]
    pub fn on(mut self, nets: impl Into<Vec<Net>>) -> Self {
        self.nets = nets.into();
        self
    }

    /// Also compares this folder of the host, in which the backend makes files.
    #[must_use]
    pub fn watching(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folders.push(folder.into());
        self
    }

    /// Also tests foreign objects, for a backend whose objects have names that others can use.
    #[must_use]
    pub fn with_foreign_objects(mut self, foreign_objects: impl ForeignObjects + 'static) -> Self {
        self.foreign_objects = Some(Arc::new(foreign_objects));
        self
    }

    /// Sets the network namespace of clusters: a private one for each ([`Netns::Private`]), the one that the trial is in
    /// ([`Netns::Here`]), or one that all of them open by its files, like one that root prepared ([`Netns::Named`]; the trial
    /// makes it, and the name does not matter). In the latter two, the backend must refuse a second cluster on the same nets.
    #[must_use]
    pub fn in_netns(mut self, netns: Netns) -> Self {
        self.netns_mode = NetnsMode::new(netns);
        self
    }

    /// Uses these guests instead of those of [`Frames`].
    #[must_use]
    pub fn with_traffic(mut self, traffic: impl Traffic + 'static) -> Self {
        self.traffic = Arc::new(traffic);
        self
    }

    fn backend(&self) -> Arc<dyn NetBackend> {
        (self.make)()
    }

    fn capabilities(&self, net: &Net) -> Capabilities {
        self.backend().capabilities(net.kind)
    }

    /// The ports of these nodes on these nets, node by node: on each net no more than its backend allows.
    fn ports<'a>(&self, nodes: &'a [NodeId], nets: &'a [Net]) -> impl Iterator<Item = Port> + use<'a> {
        let limits: Vec<usize> =
            nets.iter().map(|net| self.capabilities(net).max_ports.unwrap_or(usize::MAX)).collect();
        nodes.iter().enumerate().flat_map(move |(index, node)| {
            let on = nets.iter().zip(&limits).filter(|(_, limit)| index < **limit).map(|(net, _)| net);
            (0..).zip(on).map(|(nic, net)| Port::new(*node, net.clone(), nic)).collect::<Vec<_>>()
        })
    }

    /// Whether the backend promises a capability for one of the nets.
    fn promises(&self, capability: impl Fn(&Capabilities) -> bool) -> bool {
        self.nets.iter().any(|net| capability(&self.capabilities(net)))
    }

    /// The same subject for one trial, which shares no namespace with others.
    fn apart(&self) -> Self {
        let needs_one = self.promises(|capabilities| capabilities.needs_namespace);
        let netns_mode = if needs_one { self.netns_mode.or_private() } else { self.netns_mode.anew() };
        Self { netns_mode, ..self.clone() }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("backend", &self.backend()).finish_non_exhaustive()
    }
}

/// One contract case, to be tested on a backend, and on one net if it is about one.
pub struct Trial {
    /// The number, from 1.
    pub number: u8,
    /// The contract case.
    pub contract_case: ContractCase,
    /// The text of the number in the contract and, if it has several trials, which part this is, and on which net.
    pub name: String,
    run: Box<dyn FnOnce() -> LocalBoxFuture<'static, Result<(), TestFailure>> + Send>,
}

impl Trial {
    fn new<F>(subject: &Subject, contract_case: ContractCase, run: impl FnOnce(Subject) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), TestFailure>> + 'static,
    {
        let text = CONTRACT[usize::from(contract_case.number()) - 1].trim_end_matches('.');
        let name =
            if contract_case.text().is_empty() { text.to_owned() } else { format!("{text}: {}", contract_case.text()) };
        let subject = subject.apart();
        Self { number: contract_case.number(), contract_case, name, run: Box::new(move || Box::pin(run(subject))) }
    }

    /// Runs it, within a [`LocalSet`](tokio::task::LocalSet).
    ///
    /// # Errors
    /// The backend breaks the contract, or the trial took longer than two minutes.
    pub async fn run(self) -> Result<(), TestFailure> {
        let late = |_| TestFailure::new(format!("timed out after {} s", DEADLINE.as_secs()));
        tokio::time::timeout(DEADLINE, (self.run)()).await.map_err(late)?
    }

    /// Runs it and returns its outcome, within a [`LocalSet`](tokio::task::LocalSet).
    pub async fn outcome(self) -> Outcome {
        let (contract_case, name) = (self.contract_case, self.name.clone());
        Outcome { number: contract_case.number(), contract_case, name, failure: self.run().await.err() }
    }

    /// The trial as a test of the harness.
    pub fn into_test(self) -> harness::Test {
        harness::test(self.test_name(), || self.run())
    }

    /// The name of that test.
    pub fn test_name(&self) -> String {
        let text: Vec<String> = self
            .name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|w| !w.is_empty())
            .map(str::to_lowercase)
            .collect();
        format!("contract_{}_{}", self.number, text.join("_"))
    }
}

impl fmt::Debug for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.number, self.name)
    }
}

/// The trials for a backend, in the order of the contract.
pub fn trials(subject: &Subject) -> Vec<Trial> {
    let mut trials = Vec::new();
    lifecycle::add(subject, &mut trials);
    objects::add(subject, &mut trials);
    qemu_args::add(subject, &mut trials);
    traffic::add(subject, &mut trials);
    trials.sort_by_key(|trial| trial.number);
    trials
}

/// Runs all trials of a backend, one after the other, within a [`LocalSet`](tokio::task::LocalSet).
pub async fn check(subject: &Subject) -> Report {
    let mut outcomes = Vec::new();
    for trial in trials(subject) {
        outcomes.push(trial.outcome().await);
    }
    Report(outcomes)
}

/// The outcomes of all trials.
#[derive(Debug)]
pub struct Report(pub Vec<Outcome>);

/// The outcome of one trial.
#[derive(Debug)]
pub struct Outcome {
    /// The number in the contract.
    pub number: u8,
    /// The contract case.
    pub contract_case: ContractCase,
    /// The name of the trial.
    pub name: String,
    /// Why it failed, if it did.
    pub failure: Option<TestFailure>,
}

impl Report {
    /// The trials that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Outcome> {
        self.0.iter().filter(|outcome| outcome.failure.is_some())
    }

    /// Succeeds if every trial did.
    ///
    /// # Errors
    /// The trials that failed, and why.
    pub fn into_result(self) -> Result<(), TestFailure> {
        super::ensure(self.failed().next().is_none(), || format!("the backend breaks the contract:\n{self}"))
    }
}

/// The trials that failed, a line for each.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Outcome { number, name, failure, .. } in &self.0 {
            if let Some(failure) = failure {
                writeln!(f, "{number}. {name}: {failure}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_contract_cases_in_its_order() {
        let numbers: Vec<u8> = ContractCase::ALL.iter().map(|contract_case| contract_case.number()).collect();
        assert!(numbers.is_sorted());
        assert!((1..).zip(CONTRACT).all(|(number, _)| numbers.contains(&number)), "{numbers:?}");
    }

    #[test]
    fn the_trials_have_the_text_of_the_trait() {
        let doc = include_str!("../../net/backend.rs");
        let lines: Vec<&str> = doc.lines().filter_map(|line| line.strip_prefix("///")).map(str::trim).collect();
        let doc = lines.join(" ");
        for (number, text) in (1..).zip(CONTRACT) {
            assert!(doc.contains(&format!("{number}. {text}")), "{number}. {text}");
        }
    }
}
