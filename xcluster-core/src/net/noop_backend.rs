//! A backend that does nothing, for tests of what only asks for names and capabilities.

use async_trait::async_trait;

use super::{BackendContext, Capabilities, HostAccess, KvmArgs, Net, NetBackend, NetError, Port, PortConfig, VmToVm};
use crate::topology::NetKind;

/// Promises a switch, makes nothing, and answers no args.
#[derive(Debug)]
pub(crate) struct NoopBackend;

#[async_trait]
impl NetBackend for NoopBackend {
    fn name(&self) -> &str {
        "switch"
    }

    fn capabilities(&self, _: NetKind) -> Capabilities {
        Capabilities::joining(VmToVm::Switch, 9000)
    }

    async fn preflight(&self, _: &BackendContext<'_>, _: &[Net], _: &[Port]) -> Result<(), NetError> {
        Ok(())
    }

    async fn create_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        Ok(())
    }

    async fn setup(&self, _: &BackendContext<'_>, _: &Port) -> Result<PortConfig, NetError> {
        Ok(PortConfig { kvm: KvmArgs::new(), access: HostAccess::None })
    }

    async fn teardown(&self, _: &BackendContext<'_>, _: &Port) -> Result<(), NetError> {
        Ok(())
    }

    async fn delete_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        Ok(())
    }
}
