//! Expectations about a node with as many NICs as a topology allows.

use super::fixture::{Fixture, addresses};
use super::nets::silent;
use super::node;
use crate::addr::Addressing;

/// The order of nets in the topology is the order of NICs in the guest.
pub(super) async fn each_has_its_addresses(fixture: &Fixture<'_>) {
    for number in [1, 2] {
        let shown = fixture.run(number, "ip -br link show; ip -br address show").await;
        for nic in fixture.nics(number) {
            let mine = |line: &&str| line.split_whitespace().next() == Some(nic.name.as_str());
            let lines: Vec<&str> = shown.lines().filter(mine).collect();
            for expected in [nic.mac.to_string(), format!("{}/{}", nic.ipv4, Addressing::IPV4_LEN)] {
                assert!(lines.iter().any(|line| line.contains(&expected)), "{expected} is not in {lines:?}");
            }
        }
    }
}

pub(super) async fn each_net_joins(fixture: &Fixture<'_>) {
    let others = fixture.joined(1).flat_map(|nic| addresses(&nic.port.net, node(2)));
    assert_eq!(silent(fixture, 1, others).await, "", "these addresses do not answer");
}
