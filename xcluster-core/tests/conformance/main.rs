//! Tests of the conformance suite: a backend that keeps the contract passes, and each contract case fails on a faulty one.

mod cases;
mod in_memory_backend;
mod segment;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use xcluster_core::host::Netns;
use xcluster_core::name::NetId;
use xcluster_core::net::Net;
use xcluster_core::testing::conformance::{ContractCase, Report, Subject, trials};
use xcluster_core::testing::traffic::Frames;
use xcluster_core::testing::{TestFailure, ensure, harness};

use cases::{Breach, CASES, Case, Place};
use in_memory_backend::{ForeignFiles, InMemoryBackend};

fn main() -> ExitCode {
    let keeps = [
        harness::test("a_backend_that_keeps_the_contract_passes", || keeps_the_contract(Place::Own, Breach::None)),
        harness::test("a_backend_whose_clusters_share_a_namespace_passes", || {
            keeps_the_contract(Place::Shared, Breach::None)
        }),
        harness::test("a_backend_that_promises_two_ports_is_never_asked_for_a_third", || {
            keeps_the_contract(Place::Own, Breach::PointToPoint)
        }),
        harness::test("a_backend_that_promises_to_lose_frames_passes", || {
            keeps_the_contract(Place::Own, Breach::Lossy)
        }),
        harness::test(
            "every_contract_case_fails_alone_on_a_faulty_backend",
            every_contract_case_fails_on_a_faulty_backend,
        ),
    ];
    let breaches = CASES.iter().map(|case| harness::test(case.test, || is_noticed(case)));
    harness::main(keeps.into_iter().chain(breaches).collect())
}

/// Runs the trials of these numbers on the in-memory backend with one breach. Each trial has a new folder for its host.
async fn report(place: Place, breach: Breach, numbers: &[u8]) -> Result<Report, TestFailure> {
    let mut outcomes = Vec::new();
    for index in 0.. {
        let host = tempfile::tempdir()?;
        let mut trials = trials(&subject(host.path(), place, breach));
        if index >= trials.len() {
            break;
        }
        let trial = trials.swap_remove(index);
        if numbers.contains(&trial.number) {
            outcomes.push(trial.outcome().await);
        }
    }
    Ok(Report(outcomes))
}

fn subject(host: &Path, place: Place, breach: Breach) -> Subject {
    // A faulty backend may never answer, and half a minute for each question would be long.
    let keeps = matches!(breach, Breach::None | Breach::PointToPoint | Breach::Lossy);
    let timeout = Duration::from_secs(if keeps { 30 } else { 3 });
    let shared = host.to_owned();
    let subject = Subject::new(move || InMemoryBackend::shared(&shared, place, breach))
        .on([NetId::CLUSTER, NetId::EXTERNAL].map(Net::new))
        .watching(host)
        .with_foreign_objects(ForeignFiles::new(host))
        .with_traffic(Frames { timeout });
    if place == Place::Shared { subject.in_netns(Netns::Here) } else { subject }
}

const WITHOUT_QEMU: [u8; 7] = [1, 2, 3, 4, 5, 6, 8];
const ALL: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

async fn keeps_the_contract(place: Place, breach: Breach) -> Result<(), TestFailure> {
    let report = report(place, breach, &ALL).await?;
    let tried: BTreeSet<u8> = report.0.iter().map(|outcome| outcome.number).collect();
    ensure(tried == BTreeSet::from(ALL), || format!("only {tried:?} were tested"))?;
    report.into_result()
}

/// A breach makes its contract cases fail and no other, and the first of them for its reason.
async fn is_noticed(case: &Case) -> Result<(), TestFailure> {
    let numbers = if case.fails[0].number() < 7 { &WITHOUT_QEMU[..] } else { &ALL };
    let report = report(case.place, case.breach, numbers).await?;
    let failed: BTreeSet<ContractCase> = report.failed().map(|outcome| outcome.contract_case).collect();
    let expected: BTreeSet<ContractCase> = case.fails.iter().copied().collect();
    ensure(failed == expected, || format!("expected failures of {expected:?} only, got:\n{report}"))?;
    for outcome in report.failed().filter(|outcome| outcome.contract_case == case.fails[0]) {
        let said = outcome.failure.as_ref().map(ToString::to_string).unwrap_or_default();
        ensure(said.contains(case.reason), || format!("expected `{}`, got: {said}", case.reason))?;
    }
    Ok(())
}

/// Other tests prove that each case of the table makes its contract cases fail.
async fn every_contract_case_fails_on_a_faulty_backend() -> Result<(), TestFailure> {
    let alone: BTreeSet<ContractCase> =
        CASES.iter().filter_map(|case| <[ContractCase; 1]>::try_from(case.fails).ok()).flatten().collect();
    let unproven: Vec<ContractCase> =
        ContractCase::ALL.into_iter().filter(|contract_case| !alone.contains(contract_case)).collect();
    ensure(unproven.is_empty(), || format!("no breach fails one of these alone: {unproven:?}"))
}
