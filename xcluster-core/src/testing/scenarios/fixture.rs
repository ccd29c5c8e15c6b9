//! The cluster of a scenario as its expectations see it: the nets of each node, and the capabilities for each net.

use std::net::IpAddr;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::guest::exec::{self, Command, Execution};
use crate::name::NodeId;
use crate::net::{Capabilities, Net, NetBackend};
use crate::plan::{Plan, PlannedNic, PlannedNode};
use crate::testing::cluster_harness;

/// A running cluster, perhaps another one beside it, and the backend of both.
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

    /// Whether the backend promises this for one of the nets.
    pub(super) fn promises(&self, wanted: impl Fn(&Capabilities) -> bool) -> bool {
        self.plan.nets.iter().any(|planned| wanted(&self.promise(&planned.net)))
    }

    pub(super) fn promise(&self, net: &Net) -> Capabilities {
        self.backend.capabilities(net.kind)
    }

    /// Whether a net joins its VMs.
    pub(super) fn joins(&self, net: &Net) -> bool {
        self.promise(net).joins()
    }

    /// The NICs of a node, eth0 first.
    pub(super) fn nics(&self, number: u16) -> &[PlannedNic] {
        &self.plan.node(node(number)).expect("the scenario has this node").nics
    }

    /// The NICs of a node on nets that join their VMs.
    pub(super) fn joined(&self, number: u16) -> impl Iterator<Item = &PlannedNic> {
        self.nics(number).iter().filter(|nic| self.joins(&nic.port.net))
    }

    /// The NICs of a node on nets to which the host has access.
    pub(super) fn with_host(&self, number: u16) -> impl Iterator<Item = &PlannedNic> {
        self.nics(number).iter().filter(|nic| self.promise(&nic.port.net).host_access)
    }

    /// The other nodes on the net of a NIC.
    pub(super) fn neighbours(&self, nic: &PlannedNic) -> impl Iterator<Item = NodeId> {
        let on_it = |planned: &&PlannedNode| planned.node.nets.contains(&nic.port.net.id);
        let nodes = self.plan.nodes.iter().filter(on_it).map(|planned| planned.node.id);
        nodes.filter(|id| *id != nic.port.node)
    }

    /// Runs a command on a node, which must succeed, and returns its output.
    pub(super) async fn run(&self, number: u16, line: impl Into<Command>) -> String {
        cluster_harness::run(self.cluster, number, line).await
    }

    /// Has a node run a program for each connection to a TCP port, until the result is dropped.
    pub(super) async fn serving(&self, number: u16, port: u16, program: &str) -> Execution {
        let server = format!("nc -ll -p {port} -e {program}");
        let server = self.cluster.node(number).expect("the scenario has this node").spawn(server).await;
        // No event tells when it listens. The command's deadline ends the wait.
        self.run(number, format!("until netstat -ltn | grep -q :{port}; do usleep 50000; done")).await;
        server.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Starts tcpdump on a node, and waits until it captures.
    pub(super) async fn capture(&self, number: u16, arguments: &str) -> Capture {
        let command = format!("tcpdump -n -l {arguments}");
        let capture = self.cluster.node(number).expect("the scenario has this node").spawn(command).await;
        let execution = capture.unwrap_or_else(|error| panic!("{error:?}"));
        let mut capture = Capture { execution, said: String::new() };
        capture.wait_for("listening on").await;
        capture
    }
}

/// A running tcpdump, and its output so far.
pub(super) struct Capture {
    execution: Execution,
    pub(super) said: String,
}

impl Capture {
    /// Waits until its output contains a text. The scenario's deadline ends the wait.
    pub(super) async fn wait_for(&mut self, text: &str) {
        while !self.said.contains(text) {
            match self.execution.next().await {
                Ok(Some(exec::Event::Stdout(bytes) | exec::Event::Stderr(bytes))) => {
                    self.said.push_str(&String::from_utf8_lossy(&bytes));
                }
                other => panic!("tcpdump ended without `{text}`: {other:?}\n{}", self.said),
            }
        }
    }
}

/// The IPv4 and the IPv6 address of a node on a net.
pub(super) fn addresses(net: &Net, node: NodeId) -> [IpAddr; 2] {
    [net.addressing.ipv4(net.id, node).into(), net.addressing.ipv6(net.id, node).into()]
}

pub(super) fn node(number: u16) -> NodeId {
    NodeId::new(number).expect("the scenarios use valid numbers of nodes")
}
