//! What people and scripts see of a status.

use super::*;

/// A cluster of a node that is ready and a router that has failed, as its owner would send it.
fn status() -> ClusterStatus {
    serde_json::from_str(include_str!("../../../tests/fixtures/status.json")).unwrap()
}

/// A cluster on bridges, which no port of this host leads to.
fn on_bridges() -> ClusterStatus {
    serde_json::from_str(include_str!("../../../tests/fixtures/bridge.json")).unwrap()
}

#[test]
fn a_status_names_the_owner_and_each_nodes_state_addresses_and_ports() {
    insta::assert_snapshot!(text(&status()));
}

#[test]
fn a_status_without_ports_says_how_to_log_in() {
    insta::assert_snapshot!(text(&on_bridges()));
}

#[test]
fn where_the_host_is_on_no_net_nobody_is_told_to_log_in() {
    let mut status = on_bridges();
    status.nets.iter_mut().for_each(|net| net.host = false);
    assert!(!text(&status).contains("logins"));
}
