//! Backends without async: the same contract, on the thread of the call.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::net::{BackendContext, Capabilities, Net, NetBackend, NetError, Port, PortConfig, Settings, takes_none};
use crate::topology::{NetKind, Problems};

/// A [`NetBackend`] without async, for plugins: the same functions with the same contract. Each call has a thread, which ends
/// with the call, so that a call may block.
///
/// A library exports it with [`export_plugin!(blocking …)`](crate::export_plugin).
pub trait BlockingBackend: fmt::Debug + Send + Sync {
    /// As [`NetBackend::name`].
    fn name(&self) -> &str;

    /// As [`NetBackend::configured`].
    ///
    /// # Errors
    /// Every setting that the backend refuses.
    fn configured(&self, settings: &Settings) -> Result<Arc<dyn BlockingBackend>, Problems> {
        Err(takes_none(self.name(), settings))
    }

    /// As [`NetBackend::capabilities`].
    fn capabilities(&self, kind: NetKind) -> Capabilities;

    /// As [`NetBackend::usable`].
    ///
    /// # Errors
    /// What the host lacks.
    fn usable(&self) -> Result<(), NetError> {
        Ok(())
    }

    /// As [`NetBackend::preflight`].
    ///
    /// # Errors
    /// As there.
    fn preflight(&self, context: &BackendContext<'_>, nets: &[Net], ports: &[Port]) -> Result<(), NetError>;

    /// As [`NetBackend::create_net`].
    ///
    /// # Errors
    /// As there.
    fn create_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError>;

    /// As [`NetBackend::setup`].
    ///
    /// # Errors
    /// As there.
    fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError>;

    /// As [`NetBackend::teardown`].
    ///
    /// # Errors
    /// As there.
    fn teardown(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError>;

    /// As [`NetBackend::delete_net`].
    ///
    /// # Errors
    /// As there.
    fn delete_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError>;
}

/// The futures are ready when they are polled for the first time: they block the thread that does that.
#[derive(Debug)]
pub struct Blocking(pub(super) Arc<dyn BlockingBackend>);

#[async_trait]
impl NetBackend for Blocking {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn configured(&self, settings: &Settings) -> Result<Arc<dyn NetBackend>, Problems> {
        Ok(Arc::new(Self(self.0.configured(settings)?)))
    }

    fn capabilities(&self, kind: NetKind) -> Capabilities {
        self.0.capabilities(kind)
    }

    fn usable(&self) -> Result<(), NetError> {
        self.0.usable()
    }

    async fn preflight(&self, context: &BackendContext<'_>, nets: &[Net], ports: &[Port]) -> Result<(), NetError> {
        self.0.preflight(context, nets, ports)
    }

    async fn create_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        self.0.create_net(context, net)
    }

    async fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        self.0.setup(context, port)
    }

    async fn teardown(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        self.0.teardown(context, port)
    }

    async fn delete_net(&self, context: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        self.0.delete_net(context, net)
    }
}
