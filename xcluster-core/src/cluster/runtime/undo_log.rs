//! The undo log of a cluster: the nets and ports that its backends were asked for, recorded before each effect.

use crate::name::{NetId, NodeId};
use crate::net::{Net, Port};

/// Objects with the names of their backends, in the order in which they were begun.
pub(super) type Begun<T> = Vec<(String, T)>;

/// The nets and ports that were begun.
#[derive(Debug, Default)]
pub(super) struct UndoLog {
    nets: Begun<Net>,
    ports: Begun<Port>,
}

impl UndoLog {
    /// Records a net that is about to be made.
    pub(super) fn record_net(&mut self, backend: &str, net: &Net) {
        if !self.nets.iter().any(|(_, begun)| begun.id == net.id) {
            self.nets.push((backend.to_owned(), net.clone()));
        }
    }

    /// Records a port that is about to be set up.
    pub(super) fn record_port(&mut self, backend: &str, port: &Port) {
        if !self.ports.iter().any(|(_, begun)| begun == port) {
            self.ports.push((backend.to_owned(), port.clone()));
        }
    }

    /// Takes the ports of a node, on one net or on all, for the caller to tear down.
    pub(super) fn take_ports(&mut self, node: NodeId, net: Option<NetId>) -> Begun<Port> {
        let wanted = |port: &Port| port.node == node && net.is_none_or(|net| port.net.id == net);
        self.ports.extract_if(.., |(_, port)| wanted(port)).collect()
    }

    /// Takes the nets that `wanted` selects, for the caller to delete.
    pub(super) fn take_nets(&mut self, wanted: impl Fn(&Net) -> bool) -> Begun<Net> {
        self.nets.extract_if(.., |(_, net)| wanted(net)).collect()
    }

    /// Takes everything: the nets and the ports.
    pub(super) fn take_all(&mut self) -> (Begun<Net>, Begun<Port>) {
        (std::mem::take(&mut self.nets), std::mem::take(&mut self.ports))
    }
}
