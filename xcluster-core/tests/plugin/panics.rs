//! A plugin in Rust that panics in the function that its setting `in` names. It is compiled as an example, since only those
//! can be libraries.

use std::panic::panic_any;
use std::sync::Arc;

use async_trait::async_trait;
use xcluster_core::net::{
    BackendContext, Capabilities, HostAccess, KvmArgs, Net, NetBackend, NetError, Port, PortConfig, Settings, VmToVm,
};
use xcluster_core::topology::{NetKind, Problems};

xcluster_core::export_plugin!(Panics::default());

#[derive(Debug, Default)]
struct Panics {
    place: String,
}

impl Panics {
    fn at(&self, place: &str) {
        assert!(self.place != place, "of a test, in {place}");
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.at("drop");
    }
}

#[async_trait]
impl NetBackend for Panics {
    fn name(&self) -> &str {
        "panics"
    }

    fn configured(&self, settings: &Settings) -> Result<Arc<dyn NetBackend>, Problems> {
        let place = settings.get("in").and_then(|place| place.as_str()).unwrap_or_default().to_owned();
        assert!(place != "configured", "of a test, in configured");
        Ok(Arc::new(Self { place }))
    }

    fn capabilities(&self, _: NetKind) -> Capabilities {
        self.at("capabilities");
        Capabilities::joining(VmToVm::Switch, 1500)
    }

    fn usable(&self) -> Result<(), NetError> {
        self.at("usable");
        Ok(())
    }

    async fn preflight(&self, _: &BackendContext<'_>, _: &[Net], _: &[Port]) -> Result<(), NetError> {
        if self.place == "preflight" {
            panic_any(7);
        }
        Ok(())
    }

    async fn create_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        Ok(())
    }

    async fn setup(&self, context: &BackendContext<'_>, _: &Port) -> Result<PortConfig, NetError> {
        // Dropping this state, at the end of the cluster, panics.
        if self.place == "end" {
            context.store.put("panics", Self { place: "drop".to_owned() });
        }
        // A panic of a task does not end the call.
        let task = tokio::spawn(async { panic!("of a test, in a task") });
        let _ = task.await;
        self.at("setup");
        Ok(PortConfig::new(KvmArgs::new(), HostAccess::None))
    }

    async fn teardown(&self, _: &BackendContext<'_>, _: &Port) -> Result<(), NetError> {
        self.at("teardown");
        Ok(())
    }

    async fn delete_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        Ok(())
    }
}
