//! The boot of a single node: as planned, or with changes; and the plan that contains the changed node. Pure.

use serde::{Deserialize, Serialize};

use super::{Plan, PlannedNet};
use crate::name::{NetId, NodeId};
use crate::net::Registry;
use crate::topology::{NodeSpec, Problems};

/// A node to boot. Values that are not set are those of the plan, or of the role if the node is not in the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NodeBoot {
    /// The node's number.
    pub node: NodeId,
    /// The changes. New nets are added to the cluster.
    #[serde(default)]
    pub spec: NodeSpec,
    /// Further args for this QEMU, after the args for every QEMU of the cluster. They replace those of an earlier boot.
    #[serde(default)]
    pub qemu_args: Option<Vec<String>>,
}

impl NodeBoot {
    /// Boots the node as planned.
    pub fn new(node: NodeId) -> Self {
        Self { node, spec: NodeSpec::default(), qemu_args: None }
    }

    /// Sets the nets, in the order of eth0, eth1…; net 0 must be first.
    #[must_use]
    pub fn nets(mut self, nets: impl IntoIterator<Item = impl Into<NetId>>) -> Self {
        self.spec.nets = Some(nets.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the memory, in MiB, at least 64.
    #[must_use]
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.spec.memory = Some(mebibytes);
        self
    }

    /// Sets the number of virtual processors, 1–255.
    #[must_use]
    pub fn cpus(mut self, cpus: u8) -> Self {
        self.spec.cpus = Some(cpus);
        self
    }

    /// Adds args to the kernel's command line.
    #[must_use]
    pub fn kernel_args(mut self, args: impl Into<String>) -> Self {
        self.spec.kernel_args = Some(args.into());
        self
    }

    /// Sets the TCP ports that the host can reach, besides telnet and ssh.
    #[must_use]
    pub fn expose(mut self, ports: impl Into<Vec<u16>>) -> Self {
        self.spec.expose = Some(ports.into());
        self
    }

    /// Sets further args for its QEMU.
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
    /// Returns the plan with this node in it. The other nodes are unchanged, except that they may get routes over the node.
    /// Nets stay in the plan even if no node is on them any more. `backends` must be those of the plan.
    ///
    /// # Errors
    /// Lists all problems at once: those of the node, and what a backend cannot carry.
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
