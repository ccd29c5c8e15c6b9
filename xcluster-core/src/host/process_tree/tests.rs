//! Tests of process trees, as the user who runs the tests.

use std::time::Duration;

use nix::errno::Errno;
use tokio::time::timeout;

use super::*;

/// Far longer than any of these tests takes.
const SOON: Duration = Duration::from_secs(20);

fn start(script: &str) -> (ProcessTree, ProcessTreeOutput) {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    ProcessTree::start(command, None).unwrap()
}

async fn said(output: &mut ProcessTreeOutput) -> String {
    let mut said = String::new();
    timeout(SOON, output.stdout.read_to_string(&mut said)).await.expect("an end of the output").unwrap();
    said
}

/// The first words of the output.
async fn pids(output: &mut ProcessTreeOutput, count: usize) -> Vec<i32> {
    let mut said = String::new();
    while said.split_whitespace().count() < count || !said.ends_with('\n') {
        let byte = timeout(SOON, output.stdout.read_u8()).await.expect("a word").unwrap();
        said.push(char::from(byte));
    }
    said.split_whitespace().map(|record| record.parse().unwrap()).collect()
}

fn lives(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH)
}

#[tokio::test]
async fn a_program_ends_as_it_would_elsewhere() {
    for (script, code, signal) in [("exit 7", Some(7), None), ("kill -9 $$", None, Some(9)), ("true", Some(0), None)] {
        let (_family, mut output) = start(script);
        let status = timeout(SOON, output.ending.wait()).await.unwrap().unwrap();
        assert_eq!((status.code(), status.signal()), (code, signal), "{script}");
    }
}

#[tokio::test]
async fn a_program_has_nothing_to_read_and_the_signals_that_it_would_have() {
    let (_family, mut output) = start("cat; grep SigBlk /proc/self/status");
    assert_eq!(said(&mut output).await, "SigBlk:\t0000000000000000\n");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_an_error_at_once() {
    let error = ProcessTree::start(Command::new("/nonexistent/program"), None).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
}

#[tokio::test]
async fn processes_that_a_program_leaves_running_go_on_until_the_tree_ends() {
    let (tree, mut output) = start("setsid sh -c 'echo $$; exec sleep 1000' & wait_for=$!; echo $wait_for");
    let pids = pids(&mut output, 2).await;
    assert!(timeout(SOON, output.ending.wait()).await.unwrap().unwrap().success());
    assert!(pids.iter().any(|pid| lives(*pid)) && !tree.is_gone());
    timeout(SOON, tree.end()).await.unwrap();
    assert!(pids.iter().all(|pid| !lives(*pid)), "{pids:?}");
}

#[tokio::test]
async fn descendants_of_any_depth_in_any_session_end_with_the_tree() {
    let deep =
        "setsid sh -c 'echo $$; setsid sh -c \"echo \\$\\$; setsid sleep 1000 & echo \\$!; wait\" & wait' & wait";
    let (tree, mut output) = start(deep);
    let pids = pids(&mut output, 3).await;
    timeout(SOON, tree.end()).await.unwrap();
    assert!(pids.iter().all(|pid| !lives(*pid)), "{pids:?}");
    assert_eq!(said(&mut output).await, "");
}

#[tokio::test]
async fn processes_that_fork_all_the_time_end() {
    // Each starts its successor and exits.
    let (tree, mut output) = start("relay='echo 1; sh -c \"$relay\" &'; export relay; sh -c \"$relay\"");
    pids(&mut output, 20).await;
    timeout(SOON, tree.end()).await.unwrap();
    said(&mut output).await;
}

#[tokio::test]
async fn a_dropped_tree_ends() {
    let (tree, mut output) = start("setsid sleep 1000 & echo $!; wait");
    pids(&mut output, 1).await;
    drop(tree);
    // The output ends with the last process.
    assert_eq!(said(&mut output).await, "");
}

#[test]
fn a_tree_ends_with_the_thread_that_started_it() {
    let starter = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (tree, mut output) = start("setsid sleep 1000 & echo $!; wait");
            pids(&mut output, 1).await;
            // As if the owner had been killed.
            std::mem::forget(tree);
            output.stdout.into_owned_fd().unwrap()
        })
    });
    let mut said = String::new();
    let mut stdout = std::fs::File::from(starter.join().unwrap());
    nix::fcntl::fcntl(&stdout, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
    io::Read::read_to_string(&mut stdout, &mut said).unwrap();
    assert_eq!(said, "");
}
