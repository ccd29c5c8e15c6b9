//! The backend that the suite tests, and what the trials must know about it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::netns_mode::NetnsMode;
use crate::host::Netns;
use crate::name::{NetId, NodeId};
use crate::net::{BackendContext, Capabilities, Net, NetBackend, Port};
use crate::testing::TestFailure;
use crate::testing::traffic::{Frames, Traffic};

/// A backend to be tested, and what the trials must know about it.
#[derive(Clone)]
pub struct Subject {
    make: Arc<dyn Fn() -> Arc<dyn NetBackend> + Send + Sync>,
    pub(super) nets: Vec<Net>,
    pub(super) folders: Vec<PathBuf>,
    pub(super) foreign_objects: Option<Arc<dyn ForeignObjects>>,
    pub(super) traffic: Arc<dyn Traffic>,
    pub(super) netns_mode: NetnsMode,
}

/// Makes objects that are foreign to a cluster, with the names that its backend uses.
#[async_trait(?Send)]
pub trait ForeignObjects: fmt::Debug + Send + Sync {
    /// Makes an object with the name that the backend would use for this net of the context's cluster.
    ///
    /// # Errors
    /// It could not be made.
    async fn plant(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), TestFailure>;

    /// Removes the object, which must be unchanged.
    ///
    /// # Errors
    /// It was changed, or it is gone.
    async fn remove_intact(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), TestFailure>;
}

impl Subject {
    /// A backend. `make` returns a new one at each call, as another process would have.
    pub fn new(make: impl Fn() -> Arc<dyn NetBackend> + Send + Sync + 'static) -> Self {
        Self {
            make: Arc::new(make),
            nets: [NetId::INTERNAL, NetId::CLUSTER, NetId::EXTERNAL].map(Net::new).into(),
            folders: Vec::new(),
            foreign_objects: None,
            traffic: Arc::new(Frames::default()),
            netns_mode: NetnsMode::default(),
        }
    }

    /// Uses these nets instead of the internal, the cluster and the external one.
    #[must_use]
    pub fn on(mut self, nets: impl Into<Vec<Net>>) -> Self {
        self.nets = nets.into();
        self
    }

    /// Also compares this folder of the host, in which the backend makes files.
    #[must_use]
    pub fn watching(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folders.push(folder.into());
        self
    }

    /// Also tests foreign objects, for a backend whose objects have names that others can use.
    #[must_use]
    pub fn with_foreign_objects(mut self, foreign_objects: impl ForeignObjects + 'static) -> Self {
        self.foreign_objects = Some(Arc::new(foreign_objects));
        self
    }

    /// Sets the network namespace of clusters: a private one for each ([`Netns::Private`]), the one that the trial is in
    /// ([`Netns::Here`]), or one that all of them open by its files, like one that root prepared ([`Netns::Named`]; the trial
    /// makes it, and the name does not matter). In the latter two, the backend must refuse a second cluster on the same nets.
    #[must_use]
    pub fn in_netns(mut self, netns: Netns) -> Self {
        self.netns_mode = NetnsMode::new(netns);
        self
    }

    /// Uses these guests instead of those of [`Frames`].
    #[must_use]
    pub fn with_traffic(mut self, traffic: impl Traffic + 'static) -> Self {
        self.traffic = Arc::new(traffic);
        self
    }

    pub(super) fn backend(&self) -> Arc<dyn NetBackend> {
        (self.make)()
    }

    pub(super) fn capabilities(&self, net: &Net) -> Capabilities {
        self.backend().capabilities(net.kind)
    }

    /// The ports of these nodes on these nets, node by node: on each net no more than its backend allows.
    pub(super) fn ports<'a>(&self, nodes: &'a [NodeId], nets: &'a [Net]) -> impl Iterator<Item = Port> + use<'a> {
        let limits: Vec<usize> =
            nets.iter().map(|net| self.capabilities(net).max_ports.unwrap_or(usize::MAX)).collect();
        nodes.iter().enumerate().flat_map(move |(index, node)| {
            let on = nets.iter().zip(&limits).filter(|(_, limit)| index < **limit).map(|(net, _)| net);
            (0..).zip(on).map(|(nic, net)| Port::new(*node, net.clone(), nic)).collect::<Vec<_>>()
        })
    }

    /// Whether the backend promises a capability for one of the nets.
    pub(super) fn promises(&self, capability: impl Fn(&Capabilities) -> bool) -> bool {
        self.nets.iter().any(|net| capability(&self.capabilities(net)))
    }

    /// The same subject for one trial, which shares no namespace with others.
    pub(super) fn apart(&self) -> Self {
        let needs_one = self.promises(|capabilities| capabilities.needs_namespace);
        let netns_mode = if needs_one { self.netns_mode.or_private() } else { self.netns_mode.anew() };
        Self { netns_mode, ..self.clone() }
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("backend", &self.backend()).finish_non_exhaustive()
    }
}
