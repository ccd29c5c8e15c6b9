//! Tests of the text of a status.

use super::*;

/// A cluster with a ready node and a failed router, as its owner would send it.
fn status() -> ClusterStatus {
    serde_json::from_str(include_str!("../../../tests/fixtures/status.json")).unwrap()
}

/// A cluster on bridges, without forwards.
fn on_bridges() -> ClusterStatus {
    serde_json::from_str(include_str!("../../../tests/fixtures/bridge.json")).unwrap()
}

#[test]
fn a_status_shows_the_owner_and_each_nodes_state_addresses_and_ports() {
    insta::assert_snapshot!(text(&status()));
}

#[test]
fn a_status_without_ports_shows_the_commands_that_log_in() {
    insta::assert_snapshot!(text(&on_bridges()));
}

#[test]
fn a_status_shows_no_logins_if_the_host_is_on_no_net() {
    let mut status = on_bridges();
    status.nets.iter_mut().for_each(|net| net.host = false);
    assert!(!text(&status).contains("logins"));
}
