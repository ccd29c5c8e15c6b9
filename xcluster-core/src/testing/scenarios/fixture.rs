//! The cluster of a scenario as its expectations see it: who is on which net, and what each net promises. Expects nothing.

use std::net::IpAddr;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::guest::exec::{self, Command, Execution};
use crate::name::NodeId;
use crate::net::{Capabilities, Net, NetBackend, VmToVm};
use crate::plan::{Plan, PlannedNic, PlannedNode};
use crate::testing::cluster_harness;

use super::node;

/// A cluster that runs, perhaps another one beside it, and the backend of both.
pub(super) struct Fixture<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) other: Option<&'a Cluster>,
    plan: Arc<Plan>,
    backend: Arc<dyn NetBackend>,
}

impl<'a> Fixture<'a> {
    pub(super) fn new(cluster: &'a Cluster, other: Option<&'a Cluster>, backend: Arc<dyn NetBackend>) -> Self {
        Self { cluster, other, plan: cluster.plan(), backend }
    }

    /// Whether this is promised for one of the nets.
    pub(super) fn promises(&self, wanted: impl Fn(&Capabilities) -> bool) -> bool {
        self.plan.nets.iter().any(|planned| wanted(&self.promise(&planned.net)))
    }

    pub(super) fn promise(&self, net: &Net) -> Capabilities {
        self.backend.capabilities(net.kind)
    }

    /// Whether VMs hear each other on a net.
    pub(super) fn joins(&self, net: &Net) -> bool {
        self.promise(net).vm_to_vm != VmToVm::None
    }

    /// The NICs of a node, eth0 first.
    pub(super) fn nics(&self, number: u16) -> &[PlannedNic] {
        &self.plan.node(node(number)).expect("the scenario has this node").nics
    }

    /// The NICs of a node on nets that join their VMs.
    pub(super) fn joined(&self, number: u16) -> impl Iterator<Item = &PlannedNic> {
        self.nics(number).iter().filter(|nic| self.joins(&nic.port.net))
    }

    /// The NICs of a node on nets that the host is on.
    pub(super) fn with_host(&self, number: u16) -> impl Iterator<Item = &PlannedNic> {
        self.nics(number).iter().filter(|nic| self.promise(&nic.port.net).host_access)
    }

    /// The other nodes on the net of a NIC.
    pub(super) fn neighbours(&self, nic: &PlannedNic) -> impl Iterator<Item = NodeId> {
        let on_it = |planned: &&PlannedNode| planned.node.nets.contains(&nic.port.net.id);
        let nodes = self.plan.nodes.iter().filter(on_it).map(|planned| planned.node.id);
        nodes.filter(|id| *id != nic.port.node)
    }

    /// Runs a line of shell on a node, which must succeed.
    pub(super) async fn run(&self, number: u16, line: impl Into<Command>) -> String {
        cluster_harness::run(self.cluster, number, line).await
    }

    /// Has a node run a program for whoever connects to a port, until this value is dropped.
    pub(super) async fn serving(&self, number: u16, port: u16, program: &str) -> Execution {
        let server = format!("nc -ll -p {port} -e {program}");
        let server = self.cluster.node(number).expect("the scenario has this node").spawn(server).await;
        // Nothing tells when it listens. The command's own deadline ends the wait.
        self.run(number, format!("until netstat -ltn | grep -q :{port}; do usleep 50000; done")).await;
        server.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Has a node watch its NICs; ready when it does.
    pub(super) async fn capture(&self, number: u16, arguments: &str) -> Capture {
        let command = format!("tcpdump -n -l {arguments}");
        let capture = self.cluster.node(number).expect("the scenario has this node").spawn(command).await;
        let execution = capture.unwrap_or_else(|error| panic!("{error:?}"));
        let mut capture = Capture { execution, said: String::new() };
        capture.wait_for("listening on").await;
        capture
    }
}

/// A tcpdump that runs, and what it said so far.
pub(super) struct Capture {
    execution: Execution,
    pub(super) said: String,
}

impl Capture {
    /// Waits until it has said something that contains this. The deadline is the scenario's.
    pub(super) async fn wait_for(&mut self, text: &str) {
        while !self.said.contains(text) {
            match self.execution.next().await {
                Ok(Some(exec::Event::Stdout(bytes) | exec::Event::Stderr(bytes))) => {
                    self.said.push_str(&String::from_utf8_lossy(&bytes));
                }
                other => panic!("tcpdump has ended without `{text}`: {other:?}\n{}", self.said),
            }
        }
    }
}

/// Both addresses of a node on a net.
pub(super) fn addresses(net: &Net, node: NodeId) -> [IpAddr; 2] {
    [net.addressing.ipv4(net.id, node).into(), net.addressing.ipv6(net.id, node).into()]
}
