//! The backend: the request to the plugin for each call, and the use of its answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::timeout;

use super::cluster::{PluginCluster, Subject};
use super::error::{Fault, InvalidReply, PluginError, net_error};
use super::host::CallContext;
use super::instance::{Instance, spell};
use super::load::{self, Loaded};
use super::message::{self, ClusterInfo, Done, Request};
use super::watchdog;
use super::{reply, search};
use crate::net::{
    BackendContext, Capabilities, KvmArgs, Net, NetBackend, NetError, Port, PortConfig, QemuNetns, Settings, VmToVm,
    merge,
};
use crate::topology::{NetKind, Problems};

/// Which plugin to load, and its settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PluginConfig {
    /// The plugin's file.
    pub path: PathBuf,
    /// Settings that only the plugin understands. Those of a topology, the table `[backend.NAME]`, are merged over them.
    pub settings: Settings,
    /// The deadline of a call. After it the call fails, and its thread is left behind. Default: 30 s.
    pub deadline: Duration,
}

impl PluginConfig {
    /// The default deadline of a call.
    pub const DEADLINE: Duration = Duration::from_secs(30);

    /// A plugin with default settings.
    pub fn new(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned(), settings: Settings::new(), deadline: Self::DEADLINE }
    }

    /// Replaces the settings; see [`settings`](Self::settings).
    #[must_use]
    pub fn with_settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the deadline of a call; see [`deadline`](Self::deadline).
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

/// A backend in a library that is loaded at run time, written in any language. Requests and replies are JSON; they pass
/// through the functions of [`abi`](super::abi). `docs/plugins.md` is the guide for authors.
///
/// A plugin is native code of this process, and trusted like the process itself: [`load`](Self::load) refuses a file that
/// another user could have changed. Its mistakes are guarded against. Each call has a thread and a deadline. A call that
/// exceeds it fails, and its thread is left behind; after three such threads, no more calls are made. Every answer is
/// checked. Some faults end the host process: a signal, `abort`, an exception of C++, a panic of a plugin with `panic =
/// "abort"`. A plugin that hangs in a constructor while it is loaded keeps the loader's lock, which every new thread of the
/// process needs.
///
/// A library stays loaded until the process ends.
#[derive(Debug, Clone)]
pub struct PluginBackend {
    plugin: Arc<Loaded>,
    config: PluginConfig,
    /// The instance, or why none can be made with its settings alone. A topology may add what is missing.
    instance: Result<Arc<Instance>, Problems>,
}

impl PluginBackend {
    /// Loads a plugin. Blocks until it has described its capabilities, up to twice the deadline.
    ///
    /// # Errors
    /// The file may not be loaded, is not a plugin, is for another version of the interface, or the plugin fails a request.
    pub fn load(config: PluginConfig) -> Result<Self, PluginError> {
        let plugin = load::load(&config.path, config.deadline)?;
        let instance = match Instance::create(&plugin, &config.settings, config.deadline) {
            Ok(instance) => Ok(Arc::new(instance)),
            Err(Fault::Refused(message::Error::Settings { problems })) => Err(of(problems)),
            Err(fault) => return Err(PluginError::failed(&plugin.name, &fault)),
        };
        Ok(Self { plugin, config, instance })
    }

    /// Loads the plugin of this name, from the first of the [`folders`](super::folders) that has it.
    ///
    /// # Errors
    /// No folder has it, the plugin has another name, or the errors of [`load`](Self::load).
    pub fn find(name: &str) -> Result<Self, PluginError> {
        Self::load(PluginConfig::new(search::find(name)?))?.expected_as(name)
    }

    /// The plugin's version.
    pub fn version(&self) -> &str {
        &self.plugin.version
    }

    /// The plugin's file, with links resolved.
    pub fn path(&self) -> &Path {
        &self.plugin.path
    }

    /// The plugin's file, settings and deadline.
    pub const fn config(&self) -> &PluginConfig {
        &self.config
    }

    /// Returns the backend if its name matches that of its file.
    pub(super) fn expected_as(self, name: &str) -> Result<Self, PluginError> {
        if self.plugin.name == name {
            return Ok(self);
        }
        let why = format!("its file is for `{name}`, but its name is `{}`", self.plugin.name);
        Err(PluginError::Unfit { path: self.config.path, why })
    }

    /// The instance, if one can be made with its settings.
    fn instance(&self) -> Result<&Arc<Instance>, NetError> {
        let unset = |problems: &Problems| NetError::Refused(format!("it does not take its settings: {problems}"));
        self.instance.as_ref().map_err(unset)
    }

    /// Sends a request whose answer has no content.
    async fn order(
        &self,
        context: &BackendContext<'_>,
        call: &'static str,
        subject: Subject<'_>,
        request: impl FnOnce(ClusterInfo) -> Request + Send,
    ) -> Result<(), NetError> {
        self.ask(context, call, subject, request).await.map(|(Done {}, _)| ()).map_err(|fault| self.net_error(fault))
    }

    /// Sends a request, and answers the plugin's own requests meanwhile.
    async fn ask<T: DeserializeOwned>(
        &self,
        context: &BackendContext<'_>,
        call: &'static str,
        subject: Subject<'_>,
        request: impl FnOnce(ClusterInfo) -> Request + Send,
    ) -> Result<(T, GivenDescriptors), Refusal> {
        let cluster = PluginCluster::of(context, self.instance().map_err(Refusal::Net)?);
        let request = spell(call, &request(cluster.info()))?;
        let limit = cluster.instance.limit;
        let guard = timeout(limit, cluster.lock(subject)).await.map_err(|_| Fault::Busy { call, limit })?;
        let (call_context, mut requests) = CallContext::new(&self.plugin.name);
        let given = GivenDescriptors(Arc::clone(&call_context));
        let answer = watchdog::start(limit, &self.plugin.health, move || {
            let answer = cluster.instance.call(call, &request, &call_context);
            drop(guard);
            answer
        });
        let mut answer = std::pin::pin!(answer.map_err(|no_result| Fault::no_result(call, no_result))?);
        let answer = loop {
            tokio::select! {
                answer = &mut answer => break answer,
                Some(question) = requests.recv() => question.answer(context),
            }
        };
        let answer = answer.map_err(|no_result| Fault::no_result(call, no_result))??;
        Ok((reply::read(call, &answer)?, given))
    }

    fn net_error(&self, refusal: Refusal) -> NetError {
        match refusal {
            Refusal::Net(error) => error,
            Refusal::Fault(fault) => net_error(&self.plugin.name, fault),
        }
    }
}

/// Why a call has no result.
#[derive(Debug)]
enum Refusal {
    Net(NetError),
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The descriptors of a call. Those that are not taken are closed.
#[derive(Debug)]
struct GivenDescriptors(Arc<CallContext>);

impl Drop for GivenDescriptors {
    fn drop(&mut self) {
        self.0.tokens().close();
    }
}

#[async_trait]
impl NetBackend for PluginBackend {
    fn name(&self) -> &str {
        &self.plugin.name
    }

    fn configured(&self, settings: &Settings) -> Result<Arc<dyn NetBackend>, Problems> {
        let mut merged = Value::Object(self.config.settings.clone());
        merge(&mut merged, &Value::Object(settings.clone()));
        let Value::Object(merged) = merged else { return Err(one(&"its settings are no table")) };
        let instance = match Instance::create(&self.plugin, &merged, self.config.deadline) {
            Ok(instance) => Ok(Arc::new(instance)),
            Err(Fault::Refused(message::Error::Settings { problems })) => Err(of(problems)),
            Err(fault) => Err(one(&PluginError::failed(&self.plugin.name, &fault))),
        }?;
        let config = self.config.clone().with_settings(merged);
        Ok(Arc::new(Self { plugin: Arc::clone(&self.plugin), config, instance: Ok(instance) }))
    }

    /// The capabilities that the instance described. Without an instance everything is promised: then the first call reports
    /// the reason, and not a topology that does not fit.
    /// first, and not that a topology does not fit.
    fn capabilities(&self, kind: NetKind) -> Capabilities {
        let said = self.instance.as_ref().ok().and_then(|instance| instance.description.of(kind));
        said.unwrap_or(Capabilities { host_access: true, ..Capabilities::joining(VmToVm::Switch, u16::MAX) })
    }

    fn usable(&self) -> Result<(), NetError> {
        let asked = self.instance()?.ask_alone("usable", &Request::Usable);
        asked.map_err(|fault| net_error(&self.plugin.name, fault))
    }

    async fn preflight(&self, context: &BackendContext<'_>, nets: &[Net], ports: &[Port]) -> Result<(), NetError> {
        let request = |cluster| Request::Preflight { cluster, nets: nets.to_owned(), ports: ports.to_owned() };
        self.order(context, "preflight", Subject::Cluster, request).await
    }

    async fn create_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        let request = |cluster| Request::CreateNet { cluster, net: net.clone() };
        self.order(context, "create_net", Subject::Net(net), request).await
    }

    async fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        let request = |cluster| Request::Setup { cluster, port: port.clone() };
        let asked = self.ask(context, "setup", Subject::Port(port), request).await;
        let (port_config, given): (message::PortConfig, GivenDescriptors) =
            asked.map_err(|refusal| self.net_error(refusal))?;
        let what = |what| net_error(&self.plugin.name, Fault::InvalidReply { call: "setup", what });
        reply::check_port_config(&port_config).map_err(what)?;
        let mut kvm = KvmArgs::from_args(port_config.args)
            .at(place(context, port_config.place)?.ok_or_else(|| what(InvalidReply::NoPlace))?);
        for (name, token) in port_config.descriptors {
            let descriptor = given.0.tokens().take(token).map_err(|bad| what(InvalidReply::Token(bad)))?;
            kvm = kvm.with_descriptor(name, descriptor);
        }
        Ok(PortConfig { kvm, access: port_config.access })
    }

    async fn teardown(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        let request = |cluster| Request::Teardown { cluster, port: port.clone() };
        self.order(context, "teardown", Subject::Port(port), request).await
    }

    async fn delete_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        let request = |cluster| Request::DeleteNet { cluster, net: net.clone() };
        self.order(context, "delete_net", Subject::Net(net), request).await
    }
}

/// The namespace that QEMU must run in; `None` if the cluster has no such namespace.
fn place(context: &BackendContext<'_>, said: message::QemuNetns) -> Result<Option<QemuNetns>, NetError> {
    let inside = match (said, context.namespace) {
        (message::QemuNetns::Here, _) => return Ok(Some(QemuNetns::Here)),
        (message::QemuNetns::File(path), _) => return Ok(Some(QemuNetns::File(path))),
        (message::QemuNetns::Cluster, None) => return Ok(None),
        (message::QemuNetns::Cluster, Some(namespace)) => namespace.inside(),
    };
    let inside = inside.map_err(|error| NetError::io("enter the cluster's network namespace", error))?;
    Ok(Some(inside.map_or(QemuNetns::Here, |inside| QemuNetns::Inside(Arc::new(inside)))))
}

fn of(said: Vec<message::Problem>) -> Problems {
    let mut problems = Problems::default();
    for message::Problem { place, message } in said {
        problems.add(place, message);
    }
    problems
}

fn one(problem: &dyn std::fmt::Display) -> Problems {
    let mut problems = Problems::default();
    problems.add("", problem);
    problems
}
