//! A backend that carries nothing and leaves a file for everything that it was asked to make, until it is undone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use xcluster_core::net::{
    Capabilities, HostAccess, KvmArgs, Net, NetBackend, NetError, Netdev, Nic, Port, Site, VmToVm, Wired,
};
use xcluster_core::topology::NetKind;

#[derive(Debug)]
pub(crate) struct Marks(PathBuf);

impl Marks {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    fn net(&self, net: &Net) -> PathBuf {
        self.0.join(format!("net{}", net.id))
    }

    fn port(&self, port: &Port) -> PathBuf {
        self.0.join(format!("net{}-{}", port.net.id, port.node))
    }
}

#[async_trait]
impl NetBackend for Marks {
    fn name(&self) -> &str {
        "marks"
    }

    fn capabilities(&self, _: NetKind) -> Capabilities {
        Capabilities::joining(VmToVm::Switch, u16::MAX)
    }

    async fn preflight(&self, _: &Site<'_>, _: &[Net], _: &[Port]) -> Result<(), NetError> {
        Ok(())
    }

    async fn create_net(&self, _: &Site<'_>, net: &Net) -> Result<(), NetError> {
        mark(&self.net(net))
    }

    async fn setup(&self, _: &Site<'_>, port: &Port) -> Result<Wired, NetError> {
        mark(&self.port(port))?;
        let netdev = Netdev::new("user", port).with("restrict", "on");
        Ok(Wired { kvm: KvmArgs::nic(&netdev, &Nic::virtio(port)), access: HostAccess::None })
    }

    async fn teardown(&self, _: &Site<'_>, port: &Port) -> Result<(), NetError> {
        unmark(&self.port(port))
    }

    async fn delete_net(&self, _: &Site<'_>, net: &Net) -> Result<(), NetError> {
        unmark(&self.net(net))
    }
}

fn mark(file: &Path) -> Result<(), NetError> {
    fs::write(file, "").map_err(|error| NetError::io(format!("write {}", file.display()), error))
}

fn unmark(file: &Path) -> Result<(), NetError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(NetError::io(format!("remove {}", file.display()), error))
        }
        _ => Ok(()),
    }
}
