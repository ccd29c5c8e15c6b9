//! Plugins in C, compiled into a temporary folder, and a cluster as a backend sees it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use xcluster_core::external::{PluginBackend, PluginConfig, PluginError};
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{BackendContext, Net, NetBackend, NetError, Port, PortConfig};
use xcluster_core::testing::{TestContext, TestFailure, ensure};

/// Longer than any call takes, and shorter than a test may take.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// Compiles the faulty plugin.
pub(crate) fn faulty(flags: &[&str]) -> Result<(TempDir, PathBuf), TestFailure> {
    compile(&own("tests/plugin/faulty.c"), flags)
}

/// A file of this crate.
pub(crate) fn own(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compiles a plugin, with warnings as errors, into a folder that no other user can write to.
pub(crate) fn compile(source: &Path, flags: &[&str]) -> Result<(TempDir, PathBuf), TestFailure> {
    let folder = tempfile::tempdir()?;
    let library = folder.path().join("plugin.so");
    let mut command = Command::new("sh");
    command.args(["-c", "umask 022 && exec cc \"$@\"", "cc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror"]);
    command.args(["-Wno-unused-function", "-Wno-unused-variable", "-fPIC", "-shared", "-pthread", "-I"]);
    command.arg(own("include")).args(flags).arg("-o").arg(&library).arg(source);
    let output = command.output()?;
    ensure(output.status.success(), || String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((folder, library))
}

/// An error with its causes.
pub(crate) fn error_text(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A faulty plugin and its backend. The folder is removed with this value: a loaded library does not need it.
pub(crate) struct Fixture {
    pub(crate) test_context: TestContext,
    pub(crate) backend: PluginBackend,
    _folder: TempDir,
}

impl Fixture {
    pub(crate) fn new(flags: &[&str]) -> Result<Self, TestFailure> {
        Self::within(SOON, flags)
    }

    /// A fixture with a shorter deadline of calls.
    pub(crate) fn within(deadline: Duration, flags: &[&str]) -> Result<Self, TestFailure> {
        let (folder, library) = faulty(flags)?;
        let backend = load(&library, deadline).map_err(|error| TestFailure::new(error_text(&error)))?;
        Ok(Self { test_context: TestContext::new("plugged")?, backend, _folder: folder })
    }

    pub(crate) async fn set_up(&self, port: &Port) -> Result<PortConfig, NetError> {
        set_up(&self.backend, &self.test_context.context(), port).await
    }
}

pub(crate) fn load(library: &Path, deadline: Duration) -> Result<PluginBackend, PluginError> {
    PluginBackend::load(PluginConfig::new(library).with_deadline(deadline))
}

pub(crate) async fn set_up(
    backend: &dyn NetBackend,
    context: &BackendContext<'_>,
    port: &Port,
) -> Result<PortConfig, NetError> {
    backend.preflight(context, std::slice::from_ref(&port.net), std::slice::from_ref(port)).await?;
    backend.create_net(context, &port.net).await?;
    backend.setup(context, port).await
}

/// A node's NIC on the cluster net.
pub(crate) fn port(node: u16) -> Port {
    Port::new(NodeId::new(node).expect("a node's number"), Net::new(NetId::CLUSTER), 0)
}
