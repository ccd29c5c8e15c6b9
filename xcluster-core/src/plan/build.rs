//! Makes a plan from a topology, options and backends, or lists everything that is wrong with them.

use super::{
    GuestSource, Identity, K8S_PORTS, LOGIN_PORTS, Options, Plan, PlannedNet, PlannedNic, PlannedNode, Readiness,
};
use crate::addr::Addressing;
use crate::host::Netns;
use crate::name::{ClusterName, NetId};
use crate::net::{Capabilities, Net, Port, Registry, VmToVm};
use crate::topology::{NetKind, Node, Problems, Topology};

/// The node that has the ports for Kubernetes.
const K8S_NODE: u16 = 1;

impl Plan {
    /// Plans a cluster with these backends.
    ///
    /// # Errors
    /// Lists all problems at once: those of the topology and the options, and what a backend cannot carry.
    pub fn new(
        name: ClusterName,
        topology: &Topology,
        options: Options,
        backends: &Registry,
    ) -> Result<Self, Problems> {
        topology.check()?;
        let backends = &backends.configured(&topology.backends)?;
        let addressing = Addressing { ipv6_prefix: topology.ipv6_prefix.clone() };
        let mut problems = Problems::default();
        let mut notes = Vec::new();
        let nets = Nets { topology, options: &options, backends, addressing: &addressing };
        let nets: Vec<(PlannedNet, Capabilities)> =
            topology.net_ids().into_iter().filter_map(|net| nets.plan(net, &mut problems, &mut notes)).collect();
        let nodes = topology.nodes();
        check_connected(&nets, &nodes, &mut problems);
        check_max_ports(&nets, &nodes, &mut problems);
        check_bridges(&nets, &nodes, &mut problems);
        check_guest(&options, &nodes, &mut problems);
        let netns = nets.iter().any(|(_, capabilities)| capabilities.needs_namespace).then(|| options.netns.clone());
        check_uplink(&options, netns.as_ref(), &mut problems);
        problems.into_result()?;

        let nets: Vec<PlannedNet> = nets.into_iter().map(|(net, _)| net).collect();
        let nodes = nodes.into_iter().map(|node| plan_node(node, &nets, options.login)).collect();
        let topology = topology.clone();
        Ok(Self { name, topology, addressing, nets, nodes, netns, options, notes })
    }
}

/// The inputs for the plan of a net.
struct Nets<'a> {
    topology: &'a Topology,
    options: &'a Options,
    backends: &'a Registry,
    addressing: &'a Addressing,
}

impl Nets<'_> {
    fn plan(&self, id: NetId, problems: &mut Problems, notes: &mut Vec<String>) -> Option<(PlannedNet, Capabilities)> {
        let spec = self.topology.nets.get(&id).cloned().unwrap_or_default();
        let backend = match spec.backend.as_ref().or(self.options.backend.as_ref()) {
            Some(name) => self.backends.find(name).map_err(|error| error.to_string()),
            None => self.backends.default_backend().ok_or_else(|| "no backend is registered".to_owned()),
        };
        let backend = backend.map_err(|message| {
            let place = if spec.backend.is_some() { format!("net.{id}.backend") } else { String::new() };
            // A wrong default backend is one problem, not one for each net.
            if !problems.iter().any(|p| p.place == place && p.message == message) {
                problems.add(place, message);
            }
        });
        let backend = backend.ok()?;
        let kind = self.topology.kind(id);
        let capabilities = backend.capabilities(kind);
        let max = capabilities.mtu_max;
        if let Some(asked) = spec.mtu.filter(|mtu| *mtu > max) {
            let name = backend.name();
            problems.add(
                format!("net.{id}.mtu"),
                format!("backend `{name}` carries an MTU of at most {max} on this net, not {asked}"),
            );
        }
        let mtu = spec.mtu.unwrap_or(self.topology.mtu);
        if mtu > max {
            notes.push(format!("net {id} has MTU {max}, not {mtu}: backend `{}` does not carry more", backend.name()));
        }
        let net = Net { id, kind, mtu: mtu.min(max), addressing: self.addressing.clone() };
        let planned = PlannedNet { net, backend: backend.name().to_owned(), host: capabilities.host_access };
        Some((planned, capabilities))
    }
}

/// The backend of a net with several nodes must connect them. The internal net is an exception: it connects each node with the
/// host.
fn check_connected(nets: &[(PlannedNet, Capabilities)], nodes: &[Node], problems: &mut Problems) {
    for (planned, capabilities) in nets {
        let id = planned.net.id;
        let members = nodes.iter().filter(|node| node.nets.contains(&id)).count();
        let internal = planned.net.kind == NetKind::Internal;
        if !internal && members > 1 && capabilities.vm_to_vm == VmToVm::None {
            problems.add(
                format!("net.{id}.backend"),
                format!(
                    "backend `{}` does not connect nodes with each other, and {members} are on this net",
                    planned.backend
                ),
            );
        }
    }
}

/// A net with a limit, such as a point-to-point net, must not have more nodes than ports.
fn check_max_ports(nets: &[(PlannedNet, Capabilities)], nodes: &[Node], problems: &mut Problems) {
    for (planned, capabilities) in nets {
        let id = planned.net.id;
        let members: Vec<String> =
            nodes.iter().filter(|node| node.nets.contains(&id)).map(|node| node.id.to_string()).collect();
        if let Some(max) = capabilities.max_ports.filter(|max| members.len() > *max) {
            problems.add(
                format!("net.{id}.backend"),
                format!(
                    "backend `{}` carries at most {max} nodes on a net, and {} are on this net: {}",
                    planned.backend,
                    members.len(),
                    members.join(", ")
                ),
            );
        }
    }
}

/// A guest must not bridge two hubs: a hub sends each frame back to its sender, so frames would loop.
fn check_bridges(nets: &[(PlannedNet, Capabilities)], nodes: &[Node], problems: &mut Problems) {
    let is_hub = |id: &NetId| nets.iter().any(|(n, c)| n.net.id == *id && c.vm_to_vm == VmToVm::Hub);
    for node in nodes {
        for group in &node.bridges {
            let hubs: Vec<String> = group.iter().filter(|id| is_hub(id)).map(ToString::to_string).collect();
            if hubs.len() > 1 {
                problems.add(
                    format!("node.{}.bridges", node.id.number()),
                    format!(
                        "{} would bridge nets {}, whose backends also send each frame back to its sender: \
                         frames would loop forever; use a backend that switches",
                        node.id,
                        hubs.join(" and ")
                    ),
                );
            }
        }
    }
}

/// Finds options that cannot work together, whatever the guest contains.
fn check_guest(options: &Options, nodes: &[Node], problems: &mut Problems) {
    if options.readiness() == Readiness::Ssh && !options.login {
        problems.add("", "readiness `ssh` needs logins, which are off: choose another readiness");
    }
    if !matches!(options.guest, GuestSource::Disk { .. }) {
        return;
    }
    // A disk image has its own boot loader, so xcluster cannot change its kernel's command line or its files.
    if !options.overlays.is_empty() {
        problems.add("", "overlays cannot be put over a disk image: put the files into the image");
    }
    if options.identity == Identity::Kernel {
        problems.add("", "a disk image boots its own kernel, which does not get a number as a kernel argument");
    }
    // Only the first node is named: kernel arguments often come from a role.
    if let Some(node) = nodes.iter().find(|node| !node.kernel_args.is_empty()) {
        let message =
            format!("a disk image boots its own kernel, which does not get kernel arguments: {} has some", node.id);
        problems.add("", message);
    }
}

/// An uplink needs a private namespace: other namespaces have their own connection to the outside.
fn check_uplink(options: &Options, netns: Option<&Netns>, problems: &mut Problems) {
    match netns {
        Some(Netns::Private) => {}
        _ if !options.uplink => {}
        Some(_) => problems.add("", "an uplink needs a private network namespace: this one has its own connection"),
        None => problems.add("", "an uplink needs a private network namespace, and no backend uses one"),
    }
}

fn plan_node(node: Node, nets: &[PlannedNet], login: bool) -> PlannedNode {
    let find = |id: &NetId| nets.iter().find(|planned| planned.net.id == *id);
    let nics = node.nets.iter().filter_map(find).enumerate().map(|(index, planned)| {
        let nic = u8::try_from(index).expect("a node has at most 24 NICs: the topology was checked");
        let expose = if planned.net.kind == NetKind::Internal { exposed(&node, login) } else { Vec::new() };
        let port = Port::new(node.id, planned.net.clone(), nic).exposing(expose);
        PlannedNic {
            name: format!("eth{index}"),
            mac: port.mac,
            ipv4: port.ipv4(),
            ipv6: port.ipv6(),
            backend: planned.backend.clone(),
            port,
        }
    });
    PlannedNode { name: node.id.to_string(), role: node.id.role(), nics: nics.collect(), node }
}

/// The TCP ports that the host reaches on the internal net: logins, Kubernetes on node 1, and those of the topology.
fn exposed(node: &Node, login: bool) -> Vec<u16> {
    let logins = LOGIN_PORTS.iter().filter(|_| login);
    let k8s = K8S_PORTS.iter().filter(|_| node.id.number() == K8S_NODE);
    let mut ports: Vec<u16> = logins.chain(k8s).copied().collect();
    for port in &node.expose {
        if !ports.contains(port) {
            ports.push(*port);
        }
    }
    ports
}
