//! The conformance suite: the contract of [`NetBackend`](crate::net::NetBackend), number by number, as trials for any backend. It starts neither
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
mod subject;
mod traffic;
mod trial;

use std::fmt;

use super::TestFailure;

pub use contract_case::{CONTRACT, ContractCase};
pub use subject::{ForeignObjects, Subject};
pub use trial::{Outcome, Trial};

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
