//! A script, a cluster as a backend sees it, and the calls.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use xcluster_core::external::{ScriptBackend, ScriptConfig};
use xcluster_core::host::Namespace;
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{BackendContext, Net, NetBackend, NetError, Port, PortConfig};
use xcluster_core::testing::{TestContext, TestFailure, ensure};

/// Longer than any call takes.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// A script in a temporary folder, and its backend.
pub(crate) struct Fixture {
    pub(crate) folder: TempDir,
    pub(crate) test_context: TestContext,
    pub(crate) backend: ScriptBackend,
}

impl Fixture {
    /// A script with these lines.
    pub(crate) fn new(lines: &str) -> Result<Self, TestFailure> {
        Self::with(lines, |config| config)
    }

    /// A fixture with another configuration. The script sees its folder as `HERE`.
    pub(crate) fn with(lines: &str, change: impl FnOnce(ScriptConfig) -> ScriptConfig) -> Result<Self, TestFailure> {
        let folder = tempfile::tempdir()?;
        let script = write(folder.path(), "net-setup", &format!("#!/bin/sh\nPATH=$PATH:/usr/sbin:/sbin\n{lines}\n"))?;
        let config = ScriptConfig::new(script).with_env("HERE", folder.path().display().to_string());
        Ok(Self { test_context: TestContext::new("scripted")?, backend: ScriptBackend::new(change(config)), folder })
    }

    /// Sets a port up, after the calls that come before.
    pub(crate) async fn set_up(&self, port: &Port) -> Result<PortConfig, NetError> {
        set_up(&self.backend, &self.test_context.context(), port).await
    }

    pub(crate) async fn tear_down(&self, port: &Port) -> Result<(), NetError> {
        self.backend.teardown(&self.test_context.context(), port).await
    }

    /// The contents of a file that the script wrote into its folder.
    pub(crate) fn text(&self, file: &str) -> String {
        fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }

    /// A number from a file in the script's folder. Waits until the script has written it.
    pub(crate) async fn number(&self, file: &str) -> Result<i32, TestFailure> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(number) = self.text(file).strip_suffix('\n') {
                return number.parse().map_err(|_| TestFailure::new(format!("`{number}` is no number")));
            }
            ensure(Instant::now() < deadline, || format!("nothing is written to `{file}`"))?;
            // There is no event for a file that does not exist yet.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) async fn set_up(
    backend: &ScriptBackend,
    context: &BackendContext<'_>,
    port: &Port,
) -> Result<PortConfig, NetError> {
    backend.preflight(context, std::slice::from_ref(&port.net), std::slice::from_ref(port)).await?;
    backend.create_net(context, &port.net).await?;
    backend.setup(context, port).await
}

/// vm-003 on a net.
pub(crate) fn port(net: u8) -> Port {
    port_of(3, net)
}

pub(crate) fn port_of(node: u16, net: u8) -> Port {
    Port::new(NodeId::new(node).expect("a node's number"), Net::new(NetId::new(net)), 0)
}

/// Writes an executable file, in another process: a child of another test could hold a descriptor of ours for a moment, and a
/// file that is open for writing cannot be executed.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> Result<PathBuf, TestFailure> {
    let path = folder.join(name);
    let mut command = Command::new("sh");
    command.args(["-c", "printf %s \"$1\" >\"$2\" && chmod +x \"$2\"", "sh", text]).arg(&path).stdin(Stdio::null());
    ensure(command.status()?.success(), || format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Runs `ip` in a namespace, as a user would.
pub(crate) fn ip(namespace: &Namespace, args: &str) -> Result<(), TestFailure> {
    let mut command = Command::new("ip");
    command.args(args.split(' ')).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    if let Some(inside) = namespace.inside()? {
        inside.enter(&mut command);
    }
    ensure(command.status()?.success(), || format!("ip {args}"))
}

/// Whether a process exists and has not ended.
pub(crate) fn lives(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
