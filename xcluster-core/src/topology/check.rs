//! What can be wrong with a topology in itself, whatever backend carries it. Every problem is found, not the first.

use std::collections::BTreeSet;

use serde_json::Value;

use super::model::{Hop, NetKind, NodeSelector, Topology};
use super::problem::Problems;
use super::resolve::Node;
use crate::name::{NetId, NodeId, Role};

impl Topology {
    /// Judges the topology.
    ///
    /// # Errors
    /// Every problem, each with its place as a path through the file: `role.routers.nets`, `node.201.memory`.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let nodes = self.nodes();
        if nodes.is_empty() {
            problems.add("role", "there is no node at all: give a role a count");
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
                problems.add(place("count"), format!("at most {} {role}: they are {first}–{last}", role.capacity()));
            }
            let Some(ids) = &spec.ids else { continue };
            if spec.count.is_some() {
                problems.add(place("count"), "cannot be given together with `ids`");
            }
            for (index, id) in ids.iter().enumerate() {
                let number = id.number();
                let place = format!("{}.{index}", place("ids"));
                if id.role() != role {
                    problems.add(place, format!("{number} is one of the {}, not of the {role}", id.role()));
                } else if ids[..index].contains(id) {
                    problems.add(place, format!("{number} is there twice"));
                }
            }
        }
    }

    fn check_overrides(&self, problems: &mut Problems, nodes: &[Node]) {
        for id in self.nodes.keys().filter(|id| !exists(nodes, **id)) {
            problems.add(format!("node.{}", id.number()), absent(*id, nodes));
        }
    }

    /// What a backend is told is its own affair, but it must have a form in every kind of file.
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
                problems.add(format!("net.{net}"), "nobody is on this net: put it into the `nets` of a role or a node");
            }
            if let Some(mtu) = spec.mtu {
                check_mtu(problems, &place("mtu"), mtu);
            }
            let internal = spec.kind == Some(NetKind::Internal);
            if spec.kind.is_some() && internal != (*net == NetId::INTERNAL) {
                problems.add(place("kind"), "net 0 is the internal net, and no other");
            }
            if spec.backend.as_deref() == Some("") {
                problems.add(place("backend"), "a backend has a name");
            }
        }
    }

    /// Where a property of a node was set: its own section, or its role's.
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
            "net 0 comes first: it is always eth0, on which every node is reached".to_owned(),
        );
        check(repeats(&node.nets), nets.clone(), "a net is there twice".to_owned());
        check(node.nets.len() > Topology::NICS_MAX, nets, format!("at most {} nets on one node", Topology::NICS_MAX));
        check(
            node.memory < Topology::MEMORY_MIN,
            self.place(node.id, "memory", |spec| spec.memory.is_some()),
            format!("{} MiB is too little: at least {}", node.memory, Topology::MEMORY_MIN),
        );
        check(
            node.cpus == 0,
            self.place(node.id, "cpus", |spec| spec.cpus.is_some()),
            "a node has at least one processor".to_owned(),
        );
        check(
            node.kernel_args.chars().any(char::is_control),
            self.place(node.id, "kernel_args", |spec| spec.kernel_args.is_some()),
            "a kernel's command line is one line of printable text".to_owned(),
        );
        let expose = self.place(node.id, "expose", |spec| spec.expose.is_some());
        check(node.expose.contains(&0), expose.clone(), "0 is not a TCP port".to_owned());
        check(repeats(&node.expose), expose, "a port is there twice".to_owned());
        let bridges = self.place(node.id, "bridges", |spec| spec.bridges.is_some());
        for message in bridge_mistakes(node) {
            check(true, bridges.clone(), message.to_owned());
        }
        // A mistake in a role's section is the same for everyone with the role.
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
                problems.add(format!("{place}.via"), "a route leads over at least one hop");
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
                problems.add(format!("{place}.nets"), "traffic is masqueraded towards net 0, not from it");
            }
            let NodeSelector::Node(id) = masquerade.on else { continue };
            for net in masquerade.nets.iter().filter(|net| exists(nodes, id) && !is_on(nodes, id, **net)) {
                problems.add(format!("{place}.nets"), format!("{id} is not on net {net}"));
            }
        }
    }
}

/// TOML has no null, and no whole number beyond 64 bits with a sign.
fn check_value(problems: &mut Problems, place: String, value: &Value) {
    match value {
        Value::Null => problems.add(place, "null is no setting: leave the key out"),
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
        problems
            .add(place, format!("an MTU of {mtu} is out of range: {}–65535, or IPv6 does not work", Topology::MTU_MIN));
    }
}

fn check_who(problems: &mut Problems, place: &str, who: NodeSelector, nodes: &[Node]) {
    if let NodeSelector::Node(id) = who
        && !exists(nodes, id)
    {
        problems.add(place, absent(id, nodes));
    }
}

/// Hops that name a role find whoever is there; hops that name a node must find it.
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
        mistakes.push("net 0 cannot be bridged: every node is reached on it");
    }
    if all.iter().any(|net| !node.nets.contains(net)) {
        mistakes.push("a node can only bridge nets that it is on");
    }
    if repeats(&all) {
        mistakes.push("a net can be in one bridge of a node only");
    }
    if node.bridges.iter().any(|group| group.len() < 2) {
        mistakes.push("a bridge joins at least two nets");
    }
    mistakes
}

fn exists(nodes: &[Node], id: NodeId) -> bool {
    nodes.iter().any(|node| node.id == id)
}

fn is_on(nodes: &[Node], id: NodeId, net: NetId) -> bool {
    nodes.iter().any(|node| node.id == id && node.nets.contains(&net))
}

/// Says who is there instead of `id`.
fn absent(id: NodeId, nodes: &[Node]) -> String {
    let role: Role = id.role();
    let there: Vec<u8> = nodes.iter().filter(|n| n.id.role() == role).map(|n| n.id.number()).collect();
    match there.as_slice() {
        [] => format!("there is no node {}: the topology has no {role}", id.number()),
        [one] => format!("there is no node {}: the only {} is {one}", id.number(), role.singular()),
        [first, .., last] => format!("there is no node {}: the {role} are {first}–{last}", id.number()),
    }
}

fn repeats<T: Ord>(all: &[T]) -> bool {
    all.iter().collect::<BTreeSet<_>>().len() != all.len()
}
