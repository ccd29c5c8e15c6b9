//! Expectations about commands on nodes, and files copied to and from them.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tempfile::TempDir;
use xcluster_core::{Cluster, Command, Status};

use crate::harness::{attempt, run};

pub(crate) async fn a_command_gives_its_code_and_both_outputs(cluster: &Cluster) {
    let output = attempt(cluster, 1, "echo out; echo err >&2; exit 42").await;
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
    assert_eq!(output.status, Status::Code(42));
    assert_eq!(attempt(cluster, 1, "kill -TERM $$").await.status, Status::Signal(15));
    let nobody = cluster.node(1).unwrap().exec(Command::new("/nonexistent")).await;
    assert!(nobody.is_err(), "{nobody:?}");
}

pub(crate) async fn a_command_is_killed_with_all_it_started_at_its_deadline(cluster: &Cluster) {
    let begun = Instant::now();
    let line = Command::from("echo begun; sleep 1234 & sleep 1234").timeout(Duration::from_secs(1));
    let output = cluster.node(1).unwrap().exec(line).await.unwrap();
    assert_eq!((output.status, output.text().as_ref()), (Status::TimedOut, "begun"));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let left = attempt(cluster, 1, "ps | grep '[s]leep 1234'").await;
    assert_eq!(left.status, Status::Code(1), "{}", left.text());
}

/// More output than a guest with 128 MB of memory could hold.
pub(crate) async fn hundreds_of_megabytes_arrive_whole(cluster: &Cluster) {
    const SIZE: usize = 300 << 20;
    let output = cluster.node(2).unwrap().exec(format!("head -c {SIZE} /dev/zero")).await.unwrap();
    assert_eq!((output.status, output.stdout.len()), (Status::Code(0), SIZE));
    assert!(output.stdout == vec![0; SIZE], "the content has changed");
}

pub(crate) async fn many_commands_run_at_once(cluster: &Cluster) {
    let node = cluster.node(1).unwrap();
    // Each waits until all have started, so that none ends unless all run at the same time.
    let all = (0..20).map(|n| {
        node.exec(format!(
            "touch /tmp/begun.{n}; until [ $(ls /tmp/begun.* | wc -l) = 20 ]; do usleep 100000; done; echo {n}"
        ))
    });
    for (n, output) in join_all(all).await.into_iter().enumerate() {
        assert_eq!(output.unwrap().ok().unwrap().text(), n.to_string());
    }
    let ids: Vec<_> = cluster.nodes().iter().map(|node| node.id()).collect();
    for (id, output) in ids.iter().zip(cluster.exec_on(&ids, "hostname").await) {
        let output = output.unwrap();
        assert_eq!((output.text().into_owned(), output.node), (id.to_string(), Some(*id)));
    }
}

pub(crate) async fn a_command_is_run_or_repeated_until_it_succeeds(cluster: &Cluster) {
    let node = cluster.node(1).unwrap();
    assert_eq!(node.run("echo 3; echo 4").await.unwrap(), "3\n4");
    let error = node.run("echo no route >&2; exit 7").await.unwrap_err();
    let shown = "`echo no route >&2; exit 7` exited with code 7 on vm-001: no route";
    assert_eq!(format!("{error:?}"), shown);
    let late = node.spawn("sleep 1; touch /tmp/late").await.unwrap();
    node.until("test -e /tmp/late", Duration::from_secs(20)).await.unwrap();
    assert!(late.output().await.unwrap().status.success());
    let error = node.until("echo not yet; false", Duration::from_secs(1)).await.unwrap_err();
    let shown = "not successful within 1s\n  caused by: `echo not yet; false` exited with code 1 on vm-001: not yet";
    assert_eq!(format!("{error:?}"), shown);
    assert_eq!(node.ipv4(1), Some([192, 168, 1, 1].into()));
}

pub(crate) async fn files_are_copied_in_and_out(cluster: &Cluster) {
    let dir = TempDir::new().unwrap();
    let content: Vec<u8> = (0..5_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let (sent, back) = (dir.path().join("sent"), dir.path().join("back"));
    std::fs::write(&sent, &content).unwrap();
    let node = cluster.node(1).unwrap();
    node.copy_to(&sent, "/tmp/copy").await.unwrap();
    assert_eq!(run(cluster, 1, "stat -c %s /tmp/copy").await, content.len().to_string());
    node.copy_from("/tmp/copy", &back).await.unwrap();
    assert!(std::fs::read(back).unwrap() == content, "the content has changed");
    node.copy_from("/nonexistent", dir.path()).await.unwrap_err();
    let error = node.copy_to("/no/such", "/tmp").await.unwrap_err();
    assert!(
        format!("{error:?}").starts_with("cannot read `/no/such` on this host\n  caused by: No such file"),
        "{error:?}"
    );
    run(cluster, 1, "rm /tmp/copy").await;
}
