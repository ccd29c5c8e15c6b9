//! A cluster as far as a backend sees one: who is on which net, and the calls in their order. Judges nothing.

use std::sync::Arc;

use super::Subject;
use crate::name::NodeId;
use crate::net::{Net, NetBackend, NetError, Port, PortConfig};
use crate::testing::host::Host;
use crate::testing::leftovers::{Snapshot, Watch};
use crate::testing::{TestContext, TestFailure};

/// Two workers and a router: on each net as many of them as its backend allows.
const NODES: [u16; 3] = [1, 2, 201];
/// Telnet and ssh of every node, and a port that has no number on the host.
const EXPOSED: [u16; 3] = [23, 22, 4711];

/// A backend, a cluster that it works for, and the ports of that cluster.
#[derive(Debug)]
pub(super) struct Fixture {
    pub(super) test_context: TestContext,
    pub(super) backend: Arc<dyn NetBackend>,
    pub(super) nets: Vec<Net>,
    pub(super) ports: Vec<Port>,
}

impl Fixture {
    /// A cluster of this name on all nets. Each trial has a name of its own, so that one that fails does not spoil others.
    pub(super) fn new(subject: &Subject, cluster: &str) -> Result<Self, TestFailure> {
        Self::on(subject, cluster, subject.nets.clone())
    }

    pub(super) fn on(subject: &Subject, cluster: &str, nets: Vec<Net>) -> Result<Self, TestFailure> {
        let nodes = NODES.iter().map(|number| NodeId::new(*number)).collect::<Result<Vec<_>, _>>()?;
        let ports = subject.ports(&nodes, &nets).map(|port| port.exposing(EXPOSED)).collect();
        Ok(Self { test_context: test_context(subject, cluster)?, backend: subject.backend(), nets, ports })
    }

    /// What the host has now, as far as backends have anything to do with it. In its namespace the cluster may be alone, so
    /// that it is looked at as well.
    pub(super) fn look(&self, subject: &Subject) -> Snapshot {
        self.watch(subject).look()
    }

    /// What to look at once the fixture is gone.
    pub(super) fn watch(&self, subject: &Subject) -> Watch {
        let watch = subject.folders.iter().fold(Watch::new(), Watch::folder);
        match self.test_context.namespace() {
            Some(namespace) => watch.namespace(Arc::clone(namespace)),
            None => watch,
        }
    }

    /// The host's end of this cluster's traffic.
    pub(super) const fn host(&self) -> Host<'_> {
        Host { namespace: self.test_context.namespace() }
    }

    /// Everything that comes before the first setup.
    pub(super) async fn create(&self) -> Result<(), NetError> {
        let context = self.test_context.context();
        self.backend.preflight(&context, &self.nets, &self.ports).await?;
        for net in &self.nets {
            self.backend.create_net(&context, net).await?;
        }
        Ok(())
    }

    /// That, and every setup.
    pub(super) async fn begin(&self) -> Result<Vec<PortConfig>, NetError> {
        self.create().await?;
        self.set_up().await
    }

    /// Every setup, one after the other.
    pub(super) async fn set_up(&self) -> Result<Vec<PortConfig>, NetError> {
        let context = self.test_context.context();
        let mut port_configs = Vec::new();
        for port in &self.ports {
            port_configs.push(self.backend.setup(&context, port).await?);
        }
        Ok(port_configs)
    }

    /// The undoing of everything.
    pub(super) async fn end(&self) -> Result<(), NetError> {
        let context = self.test_context.context();
        for port in &self.ports {
            self.backend.teardown(&context, port).await?;
        }
        for net in &self.nets {
            self.backend.delete_net(&context, net).await?;
        }
        Ok(())
    }
}

/// A test context where the subject's clusters are.
pub(super) fn test_context(subject: &Subject, cluster: &str) -> Result<TestContext, TestFailure> {
    let test_context = TestContext::new(cluster)?;
    Ok(match subject.netns_mode.open()? {
        Some(namespace) => test_context.in_namespace(namespace),
        None => test_context,
    })
}
