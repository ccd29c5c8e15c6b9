//! The conformance suite itself: it passes a backend that keeps the contract, and each number of it bites.

mod paper;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use xcluster_core::host::Netns;
use xcluster_core::name::NetId;
use xcluster_core::net::Net;
use xcluster_core::testing::conformance::{Outcome, Report, Subject, trials};
use xcluster_core::testing::traffic::Frames;
use xcluster_core::testing::{Failed, ensure};

use paper::{Breach, Paper, PlantedPaper};

xcluster_core::harness![
    a_backend_that_keeps_the_contract_passes,
    a_repeated_setup_that_answers_other_words_is_noticed,
    a_repeated_setup_that_makes_something_new_is_noticed,
    a_preflight_that_forgets_what_was_before_is_noticed,
    a_teardown_that_fails_on_what_is_absent_is_noticed,
    a_durable_backend_that_needs_its_memory_is_noticed,
    a_backend_that_touches_what_is_anothers_is_noticed,
    a_backend_that_takes_a_strangers_place_is_noticed,
    two_clusters_in_one_place_are_noticed,
    a_backend_that_takes_one_node_at_a_time_is_noticed,
    a_failed_setup_that_leaves_something_is_noticed,
    words_that_qemu_does_not_know_are_noticed,
    a_net_that_leaves_something_is_noticed,
    a_net_that_joins_nobody_is_noticed,
    a_hub_that_is_called_a_switch_is_noticed,
    an_mtu_that_is_not_carried_is_noticed,
    nets_that_hear_each_other_are_noticed,
    clusters_that_hear_each_other_are_noticed,
    a_host_that_cannot_be_reached_is_noticed,
];

/// Puts the paper backend with one breach to the trials of these numbers, each on a host where nothing has been yet.
async fn report(breach: Breach, numbers: &[u8]) -> Result<Report, Failed> {
    let mut outcomes = Vec::new();
    for index in 0.. {
        let host = tempfile::tempdir()?;
        let mut trials = trials(&subject(breach, host.path()));
        if index >= trials.len() {
            break;
        }
        let trial = trials.swap_remove(index);
        if numbers.contains(&trial.number) {
            let (number, name) = (trial.number, trial.name.clone());
            outcomes.push(Outcome { number, name, failure: trial.run().await.err() });
        }
    }
    Ok(Report(outcomes))
}

fn subject(breach: Breach, host: &Path) -> Subject {
    // Where nothing will answer, half a minute for each question would be long.
    let patience = Duration::from_secs(if breach == Breach::None { 30 } else { 3 });
    let shared = host.to_owned();
    Subject::new(move || Paper::shared(&shared, breach))
        .on([NetId::CLUSTER, NetId::EXTERNAL].map(Net::new))
        .watching(host)
        .with_stranger(PlantedPaper::new(host))
        .with_traffic(Frames { patience })
}

const WITHOUT_QEMU: [u8; 7] = [1, 2, 3, 4, 5, 6, 8];
const ALL: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 9];

/// A breach fails its number and no other, for a reason that has these words.
async fn check(breach: Breach, number: u8, reason: &str) -> Result<(), Failed> {
    let numbers = if matches!(number, 7 | 9) { &ALL[..] } else { &WITHOUT_QEMU };
    let report = report(breach, numbers).await?;
    let failed: BTreeSet<u8> = report.failed().map(|outcome| outcome.number).collect();
    ensure(failed == BTreeSet::from([number]), || format!("{number} should have failed and nothing else:\n{report}"))?;
    let said = report.to_string();
    ensure(said.contains(reason), || format!("it should have said `{reason}`:\n{said}"))
}

async fn a_backend_that_keeps_the_contract_passes() -> Result<(), Failed> {
    let report = report(Breach::None, &ALL).await?;
    let tried: BTreeSet<u8> = report.0.iter().map(|outcome| outcome.number).collect();
    ensure(tried == BTreeSet::from(ALL), || format!("only {tried:?} were tried"))?;
    report.into_result()
}

async fn a_repeated_setup_that_answers_other_words_is_noticed() -> Result<(), Failed> {
    check(Breach::OtherWords, 1, "vm-001 on net 1: first `-netdev").await
}

async fn a_repeated_setup_that_makes_something_new_is_noticed() -> Result<(), Failed> {
    check(Breach::Duplicates, 1, "is new").await
}

async fn a_preflight_that_forgets_what_was_before_is_noticed() -> Result<(), Failed> {
    check(Breach::ForgetsTheFirst, 1, "asked again after that: nobody has asked for this port").await
}

async fn a_teardown_that_fails_on_what_is_absent_is_noticed() -> Result<(), Failed> {
    check(Breach::AbsentIsAnError, 2, "a second time: cannot remove").await
}

async fn a_durable_backend_that_needs_its_memory_is_noticed() -> Result<(), Failed> {
    check(Breach::NeedsMemory, 3, "after another process has undone everything: file").await
}

async fn a_backend_that_touches_what_is_anothers_is_noticed() -> Result<(), Failed> {
    check(Breach::TouchesOthers, 4, "another cluster came and went: file").await
}

async fn a_backend_that_takes_a_strangers_place_is_noticed() -> Result<(), Failed> {
    check(Breach::Overwrites, 4, "is not as it was").await
}

/// The paper backend gives each cluster files of its own, which is what one in a shared namespace cannot do.
async fn two_clusters_in_one_place_are_noticed() -> Result<(), Failed> {
    let host = tempfile::tempdir()?;
    let subject = subject(Breach::None, host.path()).in_netns(Netns::Here);
    let mut said = String::new();
    for trial in trials(&subject).into_iter().filter(|trial| trial.number == 4) {
        said.extend(trial.run().await.err().map(|failed| failed.to_string()));
    }
    ensure(said == "where another cluster is, it should say so, and says: nothing at all", || said)
}

async fn a_backend_that_takes_one_node_at_a_time_is_noticed() -> Result<(), Failed> {
    check(Breach::OneAtATime, 5, "busy").await
}

async fn a_failed_setup_that_leaves_something_is_noticed() -> Result<(), Failed> {
    check(Breach::LeavesDebris, 6, "after a failed setup and its teardown: file").await
}

async fn words_that_qemu_does_not_know_are_noticed() -> Result<(), Failed> {
    check(Breach::UnknownWord, 7, "QEMU ended: ").await
}

async fn a_net_that_leaves_something_is_noticed() -> Result<(), Failed> {
    check(Breach::Forgets, 8, "is new").await
}

async fn a_net_that_joins_nobody_is_noticed() -> Result<(), Failed> {
    check(Breach::JoinsNobody, 9, "nodes reach each other on net cluster 1: 64 bytes by UDP").await
}

async fn a_hub_that_is_called_a_switch_is_noticed() -> Result<(), Failed> {
    check(Breach::CalledASwitch, 9, "it is said to be no hub").await
}

async fn an_mtu_that_is_not_carried_is_noticed() -> Result<(), Failed> {
    check(Breach::TooMuchMtu, 9, "the largest MTU is carried on net cluster 1: 65507 bytes by UDP").await
}

async fn nets_that_hear_each_other_are_noticed() -> Result<(), Failed> {
    check(Breach::OneNetForAll, 9, "net 2 hears net 1").await
}

async fn clusters_that_hear_each_other_are_noticed() -> Result<(), Failed> {
    check(Breach::OneClusterForAll, 9, "another cluster hears this one").await
}

async fn a_host_that_cannot_be_reached_is_noticed() -> Result<(), Failed> {
    check(Breach::NoHost, 9, "port 23 has no address").await
}
