//! Finds all problems of a topology that do not depend on a backend.

use std::collections::BTreeSet;

use serde_json::Value;

use super::model::{Hop, NetKind, NodeSelector, Topology};
use super::problem::Problems;
use super::resolve::Node;
use crate::name::{NetId, NodeId, Role};

impl Topology {
    /// Checks the topology.
    ///
    /// # Errors
    /// Lists all problems, each with its place as a path through the file: `role.routers.nets`, `node.201.memory`.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let nodes = self.nodes();
        if nodes.is_empty() {
            problems.add("role", "the topology has no nodes: set the `count` of a role");
        }
        check_mtu(&mut problems, "mtu", self.mtu);
        self.check_roles(&mut problems);
        self.check_overrides(&mut problems, &nodes);
        self.check_nets(&mut problems, &nodes);
        self.check_backends(&mut problems);
        for node in &nodes {
            self.check_node(&mut problems, node);
        }
        self.check_routes(&mut problems, &nodes);
        self.check_masquerades(&mut problems, &nodes);
        problems.into_result()
    }

    fn check_roles(&self, problems: &mut Problems) {
        for role in Role::ALL {
            let spec = self.role(role);
            let place = |field: &str| format!("role.{role}.{field}");
            if spec.count.is_some_and(|count| count > role.capacity()) {
                let (first, last) = role.range();
                problems.add(
                    place("count"),
                    format!("at most {} {role}: their numbers are {first}–{last}", role.capacity()),
                );
            }
            let Some(ids) = &spec.ids else { continue };
            if spec.count.is_some() {
                problems.add(place("count"), "cannot be given together with `ids`");
            }
            for (index, id) in ids.iter().enumerate() {
                let number = id.number();
                let place = format!("{}.{index}", place("ids"));
                if id.role() != role {
                    let (is, not) = (id.role().singular(), role.singular());
                    problems.add(place, format!("{number} is the number of a {is}, not of a {not}"));
                } else if ids[..index].contains(id) {
                    problems.add(place, format!("{number} is listed twice"));
                }
            }
        }
    }

    fn check_overrides(&self, problems: &mut Problems, nodes: &[Node]) {
        for id in self.nodes.keys().filter(|id| !exists(nodes, **id)) {
            problems.add(format!("node.{}", id.number()), absent(*id, nodes));
        }
    }

    /// The backend itself checks its settings. Here they must only have a form in both TOML and JSON.
    fn check_backends(&self, problems: &mut Problems) {
        for (name, settings) in &self.backends {
            for (key, value) in settings {
                check_value(problems, format!("backend.{name}.{key}"), value);
            }
        }
    }

    fn check_nets(&self, problems: &mut Problems, nodes: &[Node]) {
        let used: BTreeSet<NetId> = nodes.iter().flat_map(|node| node.nets.iter().copied()).collect();
        for (net, spec) in &self.nets {
            let place = |field: &str| format!("net.{net}.{field}");
            if !used.contains(net) {
                problems.add(format!("net.{net}"), "no node is on this net: add it to the `nets` of a role or a node");
            }
            if let Some(mtu) = spec.mtu {
                check_mtu(problems, &place("mtu"), mtu);
            }
            match spec.kind {
                Some(NetKind::Internal) if *net != NetId::INTERNAL => {
                    problems.add(place("kind"), "only net 0 can be internal");
                }
                Some(kind) if kind != NetKind::Internal && *net == NetId::INTERNAL => {
                    problems.add(place("kind"), "net 0 is always internal");
                }
                _ => {}
            }
            if spec.backend.as_deref() == Some("") {
                problems.add(place("backend"), "the name of a backend must not be empty");
            }
        }
    }

    /// Returns where a value of a node is set: in its own section, or in that of its role.
    fn place(&self, id: NodeId, field: &str, own: impl Fn(&super::model::NodeSpec) -> bool) -> String {
        match self.nodes.get(&id) {
            Some(spec) if own(spec) => format!("node.{}.{field}", id.number()),
            _ => format!("role.{}.{field}", id.role()),
        }
    }

    fn check_node(&self, problems: &mut Problems, node: &Node) {
        let mut found = Problems::default();
        let mut check = |bad: bool, place: String, message: String| {
            if bad {
                found.add(place, message);
            }
        };
        let nets = self.place(node.id, "nets", |spec| spec.nets.is_some());
        check(
            node.nets.first() != Some(&NetId::INTERNAL),
            nets.clone(),
            "net 0 must be first: it is always eth0, on which the host reaches the node".to_owned(),
        );
        check(repeats(&node.nets), nets.clone(), "a net is listed twice".to_owned());
        check(node.nets.len() > Topology::NICS_MAX, nets, format!("at most {} nets on one node", Topology::NICS_MAX));
        check(
            node.memory < Topology::MEMORY_MIN,
            self.place(node.id, "memory", |spec| spec.memory.is_some()),
            format!("{} MiB of memory is too little: at least {} MiB", node.memory, Topology::MEMORY_MIN),
        );
        check(
            node.cpus == 0,
            self.place(node.id, "cpus", |spec| spec.cpus.is_some()),
            "a node needs at least one processor".to_owned(),
        );
        check(
            node.kernel_args.chars().any(char::is_control),
            self.place(node.id, "kernel_args", |spec| spec.kernel_args.is_some()),
            "kernel arguments must not contain control characters".to_owned(),
        );
        let expose = self.place(node.id, "expose", |spec| spec.expose.is_some());
        check(node.expose.contains(&0), expose.clone(), "0 is not a TCP port".to_owned());
        check(repeats(&node.expose), expose, "a port is listed twice".to_owned());
        let bridges = self.place(node.id, "bridges", |spec| spec.bridges.is_some());
        for message in bridge_mistakes(node) {
            check(true, bridges.clone(), message.to_owned());
        }
        // A problem in a role's section is found for each node of the role, and listed once.
        for problem in &found {
            if !problems.iter().any(|known| known == problem) {
                problems.add(problem.place.clone(), &problem.message);
            }
        }
    }

    fn check_routes(&self, problems: &mut Problems, nodes: &[Node]) {
        for (index, route) in self.routes.iter().enumerate() {
            let place = format!("route.{index}");
            check_who(problems, &format!("{place}.on"), route.on, nodes);
            if route.via.is_empty() {
                problems.add(format!("{place}.via"), "a route needs at least one hop");
            }
            for (number, hop) in route.via.iter().enumerate() {
                check_hop(problems, &format!("{place}.via.{number}"), route.on, *hop, nodes);
            }
        }
    }

    fn check_masquerades(&self, problems: &mut Problems, nodes: &[Node]) {
        for (index, masquerade) in self.masquerades.iter().enumerate() {
            let place = format!("masquerade.{index}");
            check_who(problems, &format!("{place}.on"), masquerade.on, nodes);
            if masquerade.nets.contains(&NetId::INTERNAL) {
                problems.add(format!("{place}.nets"), "net 0 cannot be masqueraded: masquerading is towards net 0");
            }
            let NodeSelector::Node(id) = masquerade.on else { continue };
            for net in masquerade.nets.iter().filter(|net| exists(nodes, id) && !is_on(nodes, id, **net)) {
                problems.add(format!("{place}.nets"), format!("{id} is not on net {net}"));
            }
        }
    }
}

/// TOML has no null, and no integers beyond a signed 64-bit number.
fn check_value(problems: &mut Problems, place: String, value: &Value) {
    match value {
        Value::Null => problems.add(place, "null is not a setting: remove the key"),
        Value::Number(number) if number.is_u64() && !number.is_i64() => {
            problems.add(place, format!("{number} is too large for a setting: the largest is {}", i64::MAX));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| check_value(problems, format!("{place}.{index}"), item));
        }
        Value::Object(table) => {
            table.iter().for_each(|(key, value)| check_value(problems, format!("{place}.{key}"), value));
        }
        _ => {}
    }
}

fn check_mtu(problems: &mut Problems, place: &str, mtu: u16) {
    if mtu < Topology::MTU_MIN {
        problems.add(
            place,
            format!(
                "an MTU of {mtu} is out of range: {min}–65535 (IPv6 needs at least {min})",
                min = Topology::MTU_MIN
            ),
        );
    }
}

fn check_who(problems: &mut Problems, place: &str, who: NodeSelector, nodes: &[Node]) {
    if let NodeSelector::Node(id) = who
        && !exists(nodes, id)
    {
        problems.add(place, absent(id, nodes));
    }
}

/// A hop that names a role means the nodes that exist; a hop that names a node means that this node must exist.
fn check_hop(problems: &mut Problems, place: &str, on: NodeSelector, hop: Hop, nodes: &[Node]) {
    let Hop { net, node } = hop;
    check_who(problems, &format!("{place}.node"), node, nodes);
    for id in [on, node].into_iter().filter_map(|who| if let NodeSelector::Node(id) = who { Some(id) } else { None }) {
        if exists(nodes, id) && !is_on(nodes, id, net) {
            problems.add(format!("{place}.net"), format!("{id} is not on net {net}"));
        }
    }
    if on == node && matches!(on, NodeSelector::Node(_)) {
        problems.add(format!("{place}.node"), "a node cannot route over itself");
    }
}

fn bridge_mistakes(node: &Node) -> Vec<&'static str> {
    let mut mistakes = Vec::new();
    let all: Vec<NetId> = node.bridges.iter().flatten().copied().collect();
    if all.contains(&NetId::INTERNAL) {
        mistakes.push("net 0 cannot be bridged: the host reaches the node on it");
    }
    if all.iter().any(|net| !node.nets.contains(net)) {
        mistakes.push("a node can only bridge nets that it is on");
    }
    if repeats(&all) {
        mistakes.push("a net can be in only one bridge of a node");
    }
    if node.bridges.iter().any(|group| group.len() < 2) {
        mistakes.push("a bridge needs at least two nets");
    }
    mistakes
}

fn exists(nodes: &[Node], id: NodeId) -> bool {
    nodes.iter().any(|node| node.id == id)
}

fn is_on(nodes: &[Node], id: NodeId, net: NetId) -> bool {
    nodes.iter().any(|node| node.id == id && node.nets.contains(&net))
}

/// Says that `id` does not exist, and which nodes of its role do.
fn absent(id: NodeId, nodes: &[Node]) -> String {
    let role: Role = id.role();
    let there: Vec<u16> = nodes.iter().filter(|n| n.id.role() == role).map(|n| n.id.number()).collect();
    match there.as_slice() {
        [] => format!("there is no node {}: the topology has no {role}", id.number()),
        [one] => format!("there is no node {}: the only {} is {one}", id.number(), role.singular()),
        [first, .., last] => format!("there is no node {}: the {role} are {first}–{last}", id.number()),
    }
}

fn repeats<T: Ord>(all: &[T]) -> bool {
    all.iter().collect::<BTreeSet<_>>().len() != all.len()
}
