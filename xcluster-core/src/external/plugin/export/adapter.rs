//! A backend behind the interface: turns requests into calls of [`NetBackend`], with a backend context of this library.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::super::message::{self, ClusterInfo, Description, Done, Error, Kind, Request, reply};
use super::blocking::{Blocking, BlockingBackend};
use super::host_client::HostClient;
use super::runtime::Runtime;
use crate::error_chain::one_line;
use crate::host::{HostLocks, Namespace, Store};
use crate::name::ClusterName;
use crate::net::{self, BackendContext, NetBackend, NetError, Settings};
use crate::topology::NetKind;

/// How the backend of this library runs.
#[derive(Debug, Clone, Copy)]
pub enum ExportedBackend {
    /// Its futures run on the plugin's runtime.
    Concurrent(fn() -> Arc<dyn NetBackend>),
    /// Its functions run on the thread of the call.
    Blocking(fn() -> Arc<dyn BlockingBackend>),
}

/// An instance.
#[derive(Debug)]
pub(super) struct Adapter {
    backend: Arc<dyn NetBackend>,
    /// Whether the backend's functions run on the thread of the call.
    blocking: bool,
    /// The clusters by number.
    clusters: Mutex<BTreeMap<u64, Arc<Cluster>>>,
    /// Started by the first call that needs it: most instances only describe their capabilities.
    runtime: OnceLock<Result<Runtime, String>>,
}

/// The parts of a backend context. The kernel keeps host locks and the namespace, so they are equivalent to the host's.
#[derive(Debug)]
struct Cluster {
    name: ClusterName,
    dir: PathBuf,
    host_locks: HostLocks,
    // Dropped first: a backend's state may use the namespace.
    store: Store,
    namespace: Option<Namespace>,
}

impl Cluster {
    fn context(&self) -> BackendContext<'_> {
        let context = BackendContext::new(&self.name, &self.dir, &self.host_locks, &self.store);
        match &self.namespace {
            Some(namespace) => context.in_namespace(namespace),
            None => context,
        }
    }
}

impl Adapter {
    pub(super) fn new(author: ExportedBackend, configuration: &[u8]) -> Result<Self, Error> {
        let settings: Settings = serde_json::from_slice(configuration)
            .map_err(|error| Error::other(format!("the configuration is no JSON object: {error}")))?;
        let (made, blocking): (Arc<dyn NetBackend>, bool) = match author {
            ExportedBackend::Concurrent(make) => (make(), false),
            ExportedBackend::Blocking(make) => (Arc::new(Blocking(make())), true),
        };
        let backend = if settings.is_empty() { made } else { made.configured(&settings)? };
        Ok(Self { backend, blocking, clusters: Mutex::default(), runtime: OnceLock::new() })
    }

    /// The reply to a request.
    pub(super) fn answer(&self, host: &HostClient<'_>, request: &[u8]) -> Result<String, Error> {
        let request =
            serde_json::from_slice(request).map_err(|error| Error::other(format!("this is no request: {error}")))?;
        let backend = Arc::clone(&self.backend);
        let done = match request {
            Request::Describe => return Ok(reply(Ok(self.describe()))),
            Request::Usable => backend.usable().map_err(Error::from),
            Request::Preflight { cluster: info, nets, ports } => {
                self.work(host, info, async move |cluster| backend.preflight(&cluster.context(), &nets, &ports).await)
            }
            Request::CreateNet { cluster: info, net } => {
                self.work(host, info, async move |cluster| backend.create_net(&cluster.context(), &net).await)
            }
            Request::Setup { cluster: info, port } => {
                let cluster = self.cluster(host, info)?;
                let lent = Arc::clone(&cluster);
                let port_config = self.run(async move { Ok(backend.setup(&lent.context(), &port).await?) })?;
                return Ok(reply(say(host, &cluster, port_config)));
            }
            Request::Teardown { cluster: info, port } => {
                self.work(host, info, async move |cluster| backend.teardown(&cluster.context(), &port).await)
            }
            Request::DeleteNet { cluster: info, net } => {
                self.work(host, info, async move |cluster| backend.delete_net(&cluster.context(), &net).await)
            }
            Request::End { cluster: info } => self.end(info.id),
        };
        Ok(reply(done.map(|()| Done {})))
    }

    fn describe(&self) -> Description {
        let of = |kind: NetKind| (Kind::from(kind), self.backend.capabilities(kind).into());
        let kinds = [NetKind::Internal, NetKind::Cluster, NetKind::External, NetKind::Other];
        Description { capabilities: kinds.map(of).into() }
    }

    fn work<F>(
        &self,
        host: &HostClient<'_>,
        info: ClusterInfo,
        work: impl FnOnce(Arc<Cluster>) -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<(), NetError>> + Send + 'static,
    {
        let work = work(self.cluster(host, info)?);
        self.run(async move { Ok(work.await?) })
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        if self.blocking { futures::executor::block_on(work) } else { self.runtime()?.run(work) }
    }

    fn runtime(&self) -> Result<&Runtime, Error> {
        let runtime = self.runtime.get_or_init(|| Runtime::start().map_err(|error| error.to_string()));
        runtime.as_ref().map_err(|error| Error::other(format!("the plugin's runtime does not start: {error}")))
    }

    /// The cluster of a request. Made at its first request.
    fn cluster(&self, host: &HostClient<'_>, of: ClusterInfo) -> Result<Arc<Cluster>, Error> {
        if let Some(cluster) = self.clusters().get(&of.id) {
            return Ok(Arc::clone(cluster));
        }
        let namespace = of.namespace.map(|wanted| host.namespace(wanted)).transpose()?;
        let (host_locks, store) = (HostLocks::new(), Store::new());
        let cluster = Arc::new(Cluster { name: of.cluster, dir: of.dir, host_locks, store, namespace });
        Ok(Arc::clone(self.clusters().entry(of.id).or_insert(cluster)))
    }

    /// Forgets a cluster. Dropping a backend's state may need the runtime.
    fn end(&self, id: u64) -> Result<(), Error> {
        let Some(cluster) = self.clusters().remove(&id) else { return Ok(()) };
        self.run(async move {
            drop(cluster);
            Ok(())
        })
    }

    fn clusters(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Cluster>>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        let clusters = std::mem::take(&mut *self.clusters());
        if !clusters.is_empty() {
            // Without a runtime it is dropped here.
            let _ = self.run(async move {
                drop(clusters);
                Ok(())
            });
        }
    }
}

/// The answer to a setup, in the form for the host.
fn say(host: &HostClient<'_>, cluster: &Cluster, port_config: net::PortConfig) -> Result<message::PortConfig, Error> {
    let place = match port_config.kvm.qemu_netns() {
        net::QemuNetns::Here => message::QemuNetns::Here,
        net::QemuNetns::File(path) => message::QemuNetns::File(path.clone()),
        net::QemuNetns::Inside(inside) => {
            let own = cluster.namespace.as_ref().and_then(|namespace| namespace.inside().ok().flatten());
            if own.as_ref() != Some(&**inside) {
                return Err(Error::other(
                    "QEMU can only be in the cluster's network namespace, or in one that has a file",
                ));
            }
            message::QemuNetns::Cluster
        }
    };
    let given = port_config.kvm.descriptors().iter().map(|(name, descriptor)| {
        use std::os::fd::AsFd;
        Ok((name.clone(), host.give(descriptor.as_fd())?))
    });
    let descriptors = given.collect::<Result<_, Error>>()?;
    Ok(message::PortConfig { args: port_config.kvm.args().to_owned(), descriptors, place, access: port_config.access })
}

impl From<NetError> for Error {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Unsupported { what, remedy } => Self::Unsupported { what, remedy },
            NetError::Refused(message) => Self::Refused { message },
            NetError::Conflict { object } => Self::Conflict { object },
            NetError::InUse { what, by } => Self::InUse { what, by },
            NetError::Io { action, source } => match source.raw_os_error() {
                Some(errno) => Self::Io { action, errno },
                None => Error::other(format!("cannot {action}: {source}")),
            },
            NetError::Other { message, source: None } => Error::other(message),
            NetError::Other { message, source: Some(cause) } => {
                Error::other(format!("{message}: {}", one_line(&*cause)))
            }
        }
    }
}
