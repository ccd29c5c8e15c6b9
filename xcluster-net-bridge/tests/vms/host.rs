//! Expectations about the host: its programs see the nets in the namespace, and nothing of them beside its own links.

use std::process::Command;

use xcluster_core::Cluster;

use crate::harness::links;

pub(crate) async fn programs_in_the_namespace_see_the_bridges(cluster: &Cluster) {
    let mut command = Command::new("cat");
    command.arg("/proc/self/net/dev");
    cluster.inside().await.unwrap().expect("the cluster has a namespace").enter(&mut command);
    let table = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let mut seen: Vec<&str> = table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    seen.sort_unstable();
    let taps = ["_t1", "_t2", "_t201", "_t221"].map(|tap| format!("xcbr0{tap}"));
    let bridges = ["lo", "xcbr0", "xcbr1", "xcbr1_t1", "xcbr1_t2", "xcbr1_t201", "xcbr2", "xcbr2_t201", "xcbr2_t221"];
    let mut expected: Vec<&str> = taps.iter().map(String::as_str).chain(bridges).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

/// Neither a link nor a route: the host's own routes do not lead to a node.
pub(crate) async fn nothing_is_known_outside(cluster: &Cluster) {
    assert!(!links().iter().any(|link| link.starts_with("xcbr")), "{:?}", links());
    assert_eq!(cluster.node(1).unwrap().address(22).await.unwrap(), None);
}
