//! A backend that carries nothing and leaves a file for everything that it was asked to make, until it is undone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use xcluster_core::net::{
    BackendContext, Capabilities, HostAccess, KvmArgs, Net, NetBackend, NetError, Netdev, Nic, Port, PortConfig, VmToVm,
};
use xcluster_core::topology::NetKind;

#[derive(Debug)]
pub(crate) struct MarkingBackend {
    folder: PathBuf,
    /// How the host reaches the nodes on the internal net.
    access: HostAccess,
    /// Whether it asks for a network namespace.
    namespace: bool,
    /// The net that it cannot make.
    refused: Option<u8>,
    usable: bool,
}

impl MarkingBackend {
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), access: HostAccess::None, namespace: false, refused: None, usable: true }
    }

    /// The host reaches the nodes so.
    pub(crate) fn reached(self, access: HostAccess) -> Self {
        Self { access, ..self }
    }

    /// The cluster gets a network namespace, in which nothing is made.
    pub(crate) fn in_a_namespace(self) -> Self {
        Self { namespace: true, ..self }
    }

    /// This net cannot be made.
    pub(crate) fn refusing(self, net: u8) -> Self {
        Self { refused: Some(net), ..self }
    }

    /// This host cannot carry it.
    pub(crate) fn unusable(self) -> Self {
        Self { usable: false, ..self }
    }

    fn net(&self, net: &Net) -> PathBuf {
        self.folder.join(format!("net{}", net.id))
    }

    fn port(&self, port: &Port) -> PathBuf {
        self.folder.join(format!("net{}-{}", port.net.id, port.node))
    }
}

#[async_trait]
impl NetBackend for MarkingBackend {
    fn name(&self) -> &str {
        "marks"
    }

    fn capabilities(&self, _: NetKind) -> Capabilities {
        let mut capabilities = Capabilities::joining(VmToVm::Switch, u16::MAX);
        capabilities.needs_namespace = self.namespace;
        capabilities
    }

    fn usable(&self) -> Result<(), NetError> {
        if self.usable { Ok(()) } else { Err(NetError::unsupported("no marks here")) }
    }

    async fn preflight(&self, _: &BackendContext<'_>, _: &[Net], _: &[Port]) -> Result<(), NetError> {
        Ok(())
    }

    async fn create_net(&self, _: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
        mark(&self.net(net))?;
        if self.refused == Some(net.id.number()) { Err(NetError::Refused("not this one".to_owned())) } else { Ok(()) }
    }

    async fn setup(&self, _: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        mark(&self.port(port))?;
        let netdev = Netdev::new("user", port).with("restrict", "on");
        let access = if port.net.kind == NetKind::Internal { self.access.clone() } else { HostAccess::None };
        Ok(PortConfig::new(KvmArgs::nic(&netdev, &Nic::virtio(port)), access))
    }

    async fn teardown(&self, _: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        unmark(&self.port(port))
    }

    async fn delete_net(&self, _: &BackendContext<'_>, net: &Net) -> Result<(), NetError> {
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
