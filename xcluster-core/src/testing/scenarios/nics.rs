//! Claims about a node with as many NICs as a topology may give it.

use super::node;
use super::scene::{Scene, addresses};

/// The topology's order of nets is the guest's order of NICs.
pub(super) async fn each_has_its_addresses(scene: &Scene<'_>) {
    for number in [1, 2] {
        let shown = scene.run(number, "ip -br link show; ip -br address show").await;
        for nic in scene.nics(number) {
            let mine = |line: &&str| line.split_whitespace().next() == Some(nic.name.as_str());
            let lines: Vec<&str> = shown.lines().filter(mine).collect();
            for expected in [nic.mac.to_string(), nic.ipv4.clone()] {
                assert!(lines.iter().any(|line| line.contains(&expected)), "{expected} is not in {lines:?}");
            }
        }
    }
}

/// One command for all of them, since each costs a moment of its own.
pub(super) async fn each_net_joins(scene: &Scene<'_>) {
    let to = scene.joined(1).flat_map(|nic| addresses(&nic.port.net, node(2)));
    let pings: Vec<String> = to.map(|to| format!("ping -c1 -W10 {to} >/dev/null || echo {to}")).collect();
    let silent = scene.run(1, pings.join("\n")).await;
    assert_eq!(silent, "", "these do not answer");
}
