//! Expectations about the owner's access to each QEMU: the serial console and the monitor.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;
use xcluster_core::image::kernel_args::READY_LINE;
use xcluster_core::{Cluster, Console};

use crate::harness::run;

pub(crate) async fn a_console_is_kept_and_joined_by_several(cluster: &Cluster) {
    let node = cluster.node(2).unwrap();
    assert!(node.console_text().await.unwrap().contains(READY_LINE));
    let log = std::fs::read_to_string(cluster.folder().join("vm-002.console")).unwrap();
    assert!(log.contains(READY_LINE), "{log}");

    let (mut first, mut second) = (node.console().await.unwrap(), node.console().await.unwrap());
    assert!(first.send("echo seen by $((1 + 1))\n").await);
    shows(&mut first, "seen by 2").await;
    shows(&mut second, "seen by 2").await;
}

/// The guest sees an unplugged cable.
pub(crate) async fn a_monitor_does_what_it_is_told(cluster: &Cluster) {
    let node = cluster.node(221).unwrap();
    let carrier = "cat /sys/class/net/eth1/carrier";
    assert_eq!(node.qmp("query-status", Value::Null).await.unwrap()["status"], "running");
    for (up, seen) in [(false, "0"), (true, "1")] {
        node.qmp("set_link", json!({"name": "net2", "up": up})).await.unwrap();
        assert_eq!(run(cluster, 221, carrier).await, seen);
    }
    node.qmp("set_link", json!({"name": "nonexistent", "up": true})).await.unwrap_err();
}

async fn shows(console: &mut Console, text: &str) {
    let mut seen = Vec::new();
    let shown = timeout(Duration::from_secs(30), async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            seen.extend(console.next().await.expect("the node runs"));
        }
    });
    let shown = shown.await;
    assert!(shown.is_ok(), "no `{text}` in {:?}", String::from_utf8_lossy(&seen));
}
