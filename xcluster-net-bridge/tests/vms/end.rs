//! An expectation about the end of a node. It is checked last, since the node stays stopped.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::timeout;
use xcluster_core::{Cluster, Error, Event, NodeState};

use crate::harness::run;

pub(crate) async fn the_end_of_a_qemu_is_reported_and_the_others_go_on(cluster: &Cluster) {
    let victim = cluster.node(2).unwrap();
    let pid = victim.status().await.unwrap().pid.unwrap();
    let mut events = cluster.events();
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
    let reported = timeout(Duration::from_secs(5), async {
        while !matches!(events.next().await.unwrap(), Event::Exited { node, .. } if node == victim.id()) {}
    });
    reported.await.unwrap();
    assert_eq!(victim.status().await.unwrap().state, NodeState::Failed);
    assert!(matches!(victim.connect(22).await, Err(Error::NotReady { .. })));
    run(cluster, 1, "ping -c1 -W5 192.168.0.250").await;
    cluster.node(1).unwrap().connect(22).await.unwrap();
}
