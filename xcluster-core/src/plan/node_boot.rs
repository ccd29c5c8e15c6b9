//! A node as somebody starts it by himself: as planned, or with what differs; and the plan with such a node in it. Pure; who
//! starts it is not said here.

use serde::{Deserialize, Serialize};

use super::{Plan, PlannedNet};
use crate::name::{NetId, NodeId};
use crate::net::Registry;
use crate::topology::{NodeSpec, Problems};

/// A node to be booted. What is not set is as it is planned; a node that is not planned is as its role has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NodeBoot {
    /// Which node.
    pub node: NodeId,
    /// What differs from the plan. Nets that the cluster does not have yet are made.
    #[serde(default)]
    pub spec: NodeSpec,
    /// Further args for this QEMU, after those for every QEMU of the cluster, in place of those of an earlier boot.
    #[serde(default)]
    pub qemu_args: Option<Vec<String>>,
}

impl NodeBoot {
    /// The node as it is planned.
    pub fn new(node: NodeId) -> Self {
        Self { node, spec: NodeSpec::default(), qemu_args: None }
    }

    /// On these nets, in the order that makes eth0, eth1…; net 0 first.
    #[must_use]
    pub fn nets(mut self, nets: impl IntoIterator<Item = impl Into<NetId>>) -> Self {
        self.spec.nets = Some(nets.into_iter().map(Into::into).collect());
        self
    }

    /// With so much memory, in MiB.
    #[must_use]
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.spec.memory = Some(mebibytes);
        self
    }

    /// With so many virtual processors.
    #[must_use]
    pub fn cpus(mut self, cpus: u8) -> Self {
        self.spec.cpus = Some(cpus);
        self
    }

    /// With these args added to the kernel's command line.
    #[must_use]
    pub fn kernel_args(mut self, args: impl Into<String>) -> Self {
        self.spec.kernel_args = Some(args.into());
        self
    }

    /// With these TCP ports reached from the host, besides telnet and ssh.
    #[must_use]
    pub fn expose(mut self, ports: impl Into<Vec<u16>>) -> Self {
        self.spec.expose = Some(ports.into());
        self
    }

    /// With these further args for its QEMU.
    #[must_use]
    pub fn qemu_args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.qemu_args = Some(args.into_iter().map(Into::into).collect());
        self
    }
}

impl From<NodeId> for NodeBoot {
    fn from(node: NodeId) -> Self {
        Self::new(node)
    }
}

impl Plan {
    /// The plan with this node in it, as it is to be booted. The other nodes stay as they are, but that they may have routes
    /// over it; nets stay, also those that nobody is on any more. The backends are those that the plan was made with.
    ///
    /// # Errors
    /// Everything that is wrong with the node, or that a backend cannot carry, at once.
    pub fn with_node(&self, boot: &NodeBoot, backends: &Registry) -> Result<Self, Problems> {
        let (mut topology, mut options) = (self.topology.clone(), self.options.clone());
        topology.add_node(boot.node);
        if boot.spec != NodeSpec::default() {
            topology.node_mut(boot.node).merge(boot.spec.clone());
        }
        if let Some(args) = &boot.qemu_args {
            options.node_qemu_args.insert(boot.node, args.clone());
            options.node_qemu_args.retain(|_, args| !args.is_empty());
        }
        let mut plan = Self::new(self.name.clone(), &topology, options, backends)?;
        let gone = self.nets.iter().filter(|old| plan.net(old.net.id).is_none()).cloned();
        let gone: Vec<PlannedNet> = gone.collect();
        plan.nets.extend(gone);
        plan.nets.sort_by_key(|planned| planned.net.id);
        plan.netns = plan.netns.or_else(|| self.netns.clone());
        let new = plan.notes.into_iter().filter(|note| !self.notes.contains(note));
        plan.notes = self.notes.iter().cloned().chain(new).collect();
        Ok(plan)
    }
}
