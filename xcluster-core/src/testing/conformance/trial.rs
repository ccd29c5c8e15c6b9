//! A contract case, ready to run on a backend, and its outcome.

use std::fmt;
use std::time::Duration;

use futures::future::LocalBoxFuture;

use super::contract_case::{CONTRACT, ContractCase};
use super::subject::Subject;
use crate::testing::{TestFailure, harness};

/// How long a trial may take.
const DEADLINE: Duration = Duration::from_secs(120);

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
    pub(super) fn new<F>(
        subject: &Subject,
        contract_case: ContractCase,
        run: impl FnOnce(Subject) -> F + Send + 'static,
    ) -> Self
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
