//! The topology with all defaults filled in: which nodes exist, on which nets, with which routes. A topology with problems is
//! resolved too; `check` finds the problems in the result.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::model::{Destination, Hop, NetKind, NodeSelector, NodeSpec, RoleSpec, Topology};
use crate::name::{NetId, NodeId, Role};

/// A node with the settings of its role and its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Node {
    /// Its number.
    pub id: NodeId,
    /// Its nets, in the order of eth0, eth1….
    pub nets: Vec<NetId>,
    /// Memory in MiB.
    pub memory: u32,
    /// Virtual processors.
    pub cpus: u8,
    /// Args added to the kernel's command line.
    pub kernel_args: String,
    /// Whether it forwards packets.
    pub forward: bool,
    /// Groups of nets that it connects with a bridge.
    pub bridges: Vec<Vec<NetId>>,
    /// TCP ports that the host can reach, besides telnet and ssh.
    pub expose: Vec<u16>,
    /// Its routes.
    pub routes: Vec<NodeRoute>,
    /// Nets whose traffic gets this node's address when it leaves eth0.
    pub masquerade: Vec<NetId>,
}

impl Node {
    /// The name of its NIC on a net, if it is on it: `eth1`.
    pub fn nic(&self, net: NetId) -> Option<String> {
        self.nets.iter().position(|n| *n == net).map(|index| format!("eth{index}"))
    }
}

/// A route of one node, with its next hops as nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeRoute {
    /// The destination.
    pub to: Destination,
    /// The next hops: net and node. Several hops make a multipath route.
    pub via: Vec<(NetId, NodeId)>,
}

impl Topology {
    /// Returns all nodes, by number, with all defaults filled in.
    pub fn nodes(&self) -> Vec<Node> {
        let on: BTreeMap<NodeId, Vec<NetId>> = self.members().map(|id| (id, self.nets_of(id))).collect();
        on.keys().map(|id| self.node(*id, &on)).collect()
    }

    /// Adds a node to its role, if it is not there yet.
    pub fn add_node(&mut self, id: NodeId) {
        let mut ids = self.role_members(id.role());
        if !ids.contains(&id) {
            ids.push(id);
            ids.sort_unstable();
            let role = self.role_mut(id.role());
            role.count = None;
            role.ids = Some(ids);
        }
    }

    /// Returns all nets that a node is on or that have settings.
    pub fn net_ids(&self) -> BTreeSet<NetId> {
        let used = self.members().flat_map(|id| self.nets_of(id));
        used.chain(self.nets.keys().copied()).collect()
    }

    /// Returns the purpose of a net.
    pub fn kind(&self, net: NetId) -> NetKind {
        self.nets.get(&net).and_then(|spec| spec.kind).unwrap_or(NetKind::usual(net))
    }

    /// The numbers of all nodes, in order.
    pub(super) fn members(&self) -> impl Iterator<Item = NodeId> {
        let mut ids: Vec<NodeId> = Role::ALL.into_iter().flat_map(|role| self.role_members(role)).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter()
    }

    fn role_members(&self, role: Role) -> Vec<NodeId> {
        let spec = self.full_role(role);
        match spec.ids {
            Some(ids) => ids.into_iter().filter(|id| id.role() == role).collect(),
            None => (0..spec.count.unwrap_or_default()).map_while(|index| role.node(index)).collect(),
        }
    }

    /// Returns the settings of a role with all defaults filled in.
    pub fn full_role(&self, role: Role) -> RoleSpec {
        let spec = self.role(role).clone();
        let (count, nets): (u16, &[u8]) = match role {
            Role::Workers => (4, &[0, 1]),
            Role::Routers => (2, &[0, 1, 2]),
            Role::Testers => (0, &[0, 2]),
        };
        RoleSpec {
            count: spec.count.or(Some(count)),
            nets: spec.nets.or_else(|| Some(nets.iter().copied().map(NetId::new).collect())),
            memory: spec.memory.or(Some(128)),
            cpus: spec.cpus.or(Some(2)),
            forward: spec.forward.or(Some(role == Role::Routers)),
            ..spec
        }
    }

    fn nets_of(&self, id: NodeId) -> Vec<NetId> {
        let own = self.nodes.get(&id).and_then(|spec| spec.nets.clone());
        own.or(self.full_role(id.role()).nets).unwrap_or_default()
    }

    fn node(&self, id: NodeId, on: &BTreeMap<NodeId, Vec<NetId>>) -> Node {
        let role = self.full_role(id.role());
        let own = self.nodes.get(&id).cloned().unwrap_or_default();
        let NodeSpec { nets, memory, cpus, kernel_args, forward, bridges, expose } = own;
        Node {
            id,
            nets: nets.or(role.nets).unwrap_or_default(),
            memory: memory.or(role.memory).unwrap_or_default(),
            cpus: cpus.or(role.cpus).unwrap_or_default(),
            kernel_args: kernel_args.or(role.kernel_args).unwrap_or_default(),
            forward: forward.or(role.forward).unwrap_or_default(),
            bridges: bridges.or(role.bridges).unwrap_or_default(),
            expose: expose.or(role.expose).unwrap_or_default(),
            routes: self.routes_of(id, on),
            masquerade: self.masquerade_of(id, on),
        }
    }

    fn routes_of(&self, id: NodeId, on: &BTreeMap<NodeId, Vec<NetId>>) -> Vec<NodeRoute> {
        let routes = self.routes.iter().filter(|route| covers(route.on, id)).map(|route| NodeRoute {
            to: route.to,
            via: route.via.iter().flat_map(|hop| neighbours(*hop, id, on)).collect(),
        });
        routes.filter(|route| !route.via.is_empty()).collect()
    }

    fn masquerade_of(&self, id: NodeId, on: &BTreeMap<NodeId, Vec<NetId>>) -> Vec<NetId> {
        let asked = self.masquerades.iter().filter(|m| covers(m.on, id)).flat_map(|m| m.nets.iter().copied());
        let nets: BTreeSet<NetId> = asked.filter(|net| on[&id].contains(net)).collect();
        nets.into_iter().collect()
    }
}

fn covers(who: NodeSelector, id: NodeId) -> bool {
    match who {
        NodeSelector::Role(role) => id.role() == role,
        NodeSelector::Node(node) => id == node,
    }
}

/// Returns the nodes that a hop means for `id`: those on the hop's net, if `id` is on it too, without `id` itself.
fn neighbours(hop: Hop, id: NodeId, on: &BTreeMap<NodeId, Vec<NetId>>) -> Vec<(NetId, NodeId)> {
    if !on[&id].contains(&hop.net) {
        return Vec::new();
    }
    let others =
        on.iter().filter(|(other, nets)| **other != id && covers(hop.node, **other) && nets.contains(&hop.net));
    others.map(|(other, _)| (hop.net, *other)).collect()
}
