//! What people and scripts see of a status.

use super::*;

/// A cluster of a node that is ready and a router that has failed, as its owner would send it.
fn status() -> ClusterStatus {
    let text = include_str!("../../../tests/fixtures/status.json");
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_status_names_the_owner_and_each_nodes_state_addresses_and_ports() {
    insta::assert_snapshot!(text(&status()));
}
