//! The backend: which of its parts serves which call. It has no state; that of a cluster is in the cluster's store.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep, timeout};

use super::check;
use super::config::{NAME, ScriptConfig, ScriptNet};
use super::process::{KILL_TIMEOUT, ScriptProcess};
use super::qemu_args;
use super::script_output;
use super::state::{Entry, ScriptState};
use crate::host::{Namespace, has_link, remove_tap};
use crate::net::{
    BackendContext, Capabilities, KvmArgs, Net, NetBackend, NetError, Port, PortConfig, QemuNetns, Settings, configure,
};
use crate::topology::{NetKind, Problems};

/// The retry interval for a tap that another process has open.
const AGAIN: Duration = Duration::from_millis(10);

/// Nets that a script sets up, NIC by NIC: any net-setup script for the original xcluster.
///
/// # The contract with a script
/// It is called as `SCRIPT <node> <net>`, both decimal, once for each NIC of a node, in the order of its NICs, before the
/// node's QEMU starts. Scripts of other nodes run at the same time.
///
/// * *Environment*: the owner's, `__mtu` (the net's MTU) and `__kvm` (the QEMU program). Standard input is empty.
/// * *Standard output* is args for QEMU. They are split as a shell splits an unquoted `$(…)`: at blanks, tabs and ends of
///   lines; quotes have no meaning. They follow the cluster's own args, so that a `-M q35` wins. `downscript=/tmp/rmtap`
///   names a file that any user could create, so it is read as `downscript=no`. As in a shell, a background process that
///   keeps standard output open is waited for.
/// * *Standard error* is for people: its last lines are shown if the call fails.
/// * *Exit code*: any other than 0 means that the node does not start.
/// * *Deadline*: [`ScriptConfig::deadline`]. After it, the script is killed with all that it has started.
///
/// The way from the host to the node is read from the args: `hostfwd=tcp:…` of a user netdev, and a tap.
///
/// # What is removed with the node
/// Processes that a script left running, unless they became another user's; and a tap `xcbr<net>_t<node>` that did not exist
/// before the call. Other links, such as a bridge, are left to the script; those in a private namespace end with it. If the
/// owner is killed, a tap stays as long as its namespace.
///
/// # Extensions to the original xcluster
/// If standard output begins with `{` it is JSON:
///
/// ```json
/// {"words": ["-netdev", "tap,id=net1,ifname=t1", "-device", "e1000,netdev=net1"],
///  "teardown": true,
///  "access": {"direct": "192.168.1.3"}}
/// ```
///
/// `words` are args that are taken as they are, with their blanks. With `teardown`, the script is called as `SCRIPT teardown
/// <node> <net>` when the node has ended. `access` is a [`HostAccess`](crate::net::HostAccess), where the args do not show
/// it.
#[derive(Debug, Clone)]
pub struct ScriptBackend {
    config: ScriptConfig,
}

impl ScriptBackend {
    /// The name that topologies and `--net` choose it by.
    pub const NAME: &str = NAME;

    /// The backend with this configuration.
    pub const fn new(config: ScriptConfig) -> Self {
        Self { config }
    }

    fn promise(&self, kind: NetKind) -> ScriptNet {
        if kind == NetKind::Internal { self.config.internal } else { self.config.others }
    }

    /// Why nets cannot be carried, whatever the script does.
    fn refusal(&self, nets: &[Net]) -> Option<String> {
        let limit = |net: &Net| self.promise(net.kind).mtu_max;
        let wide = nets.iter().filter(|net| net.mtu > limit(net));
        let problems: Vec<String> = wide
            .map(|net| format!("net {} has an MTU of {}, and the script carries {}", net.id, net.mtu, limit(net)))
            .collect();
        (!problems.is_empty()).then(|| problems.join("; "))
    }

    /// The script's path, if it can be executed.
    fn find(&self) -> Result<PathBuf, NetError> {
        if let Some(folder) = self.config.folder.as_deref().filter(|folder| !folder.is_dir()) {
            return Err(NetError::unsupported(format!("there is no folder `{}` to run it in", folder.display())));
        }
        check::find(&self.config.script)
    }

    /// The network namespace of scripts and their QEMUs.
    fn place(&self, context: &BackendContext<'_>) -> Result<QemuNetns, NetError> {
        if !self.config.in_namespace {
            return Ok(QemuNetns::Here);
        }
        let inside = context.needed_namespace()?.inside();
        let inside = inside.map_err(|error| NetError::io("enter the cluster's network namespace", error))?;
        Ok(inside.map_or(QemuNetns::Here, |inside| QemuNetns::Inside(Arc::new(inside))))
    }

    fn start(&self, state: &ScriptState, port: &Port, verb: Option<&str>) -> Result<ScriptProcess, NetError> {
        let (node, net) = (port.node.number().to_string(), port.net.id.number().to_string());
        let args: Vec<&str> = verb.into_iter().chain([node.as_str(), net.as_str()]).collect();
        let mut command = Command::new(&state.script);
        command.args(&args).env("__mtu", port.net.mtu.to_string()).env("__kvm", &self.config.kvm);
        command.envs(&self.config.env);
        if let Some(folder) = &self.config.folder {
            command.current_dir(folder);
        }
        let inside = match &state.place {
            QemuNetns::Inside(inside) => {
                Some(inside.try_clone().map_err(|error| NetError::io("call the script", error))?)
            }
            _ => None,
        };
        let program = state.script.file_name().unwrap_or(state.script.as_os_str()).to_string_lossy();
        Ok(ScriptProcess::start(format!("{program} {}", args.join(" ")), command, inside, self.config.deadline)?)
    }

    /// Removes what a port has. Returns what could not be removed.
    async fn undo(
        &self,
        context: &BackendContext<'_>,
        state: &ScriptState,
        port: &Port,
        mut entry: Entry,
    ) -> Vec<String> {
        let mut problems = Vec::new();
        if entry.teardown {
            let ended = async {
                let call = self.start(state, port, Some("teardown"))?;
                entry.trees.push(call.tree());
                Ok::<_, NetError>(call.answer(|_| Ok(())).await?)
            };
            problems.extend(ended.await.err().map(|error| error.to_string()));
        }
        for tree in &entry.trees {
            if timeout(KILL_TIMEOUT, tree.end()).await.is_err() {
                problems.push("a process that the script has started does not end".to_owned());
            }
        }
        // After the processes that may have it open have ended.
        let tap = qemu_args::tap(port);
        if entry.tap
            && let Err(error) = remove(state.namespace(context), &tap).await
        {
            problems.push(format!("cannot remove `{tap}`: {error}"));
        }
        problems
    }
}

#[async_trait]
impl NetBackend for ScriptBackend {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn configured(&self, settings: &Settings) -> Result<Arc<dyn NetBackend>, Problems> {
        Ok(Arc::new(Self::new(configure(&self.config, settings)?)))
    }

    /// The promises of the configuration. Not durable, and no hot-plug, since a script may print any args.
    fn capabilities(&self, kind: NetKind) -> Capabilities {
        let promise = self.promise(kind);
        let mut capabilities = Capabilities::joining(promise.vm_to_vm, promise.mtu_max);
        capabilities.host_access = promise.host_access;
        capabilities.needs_namespace = self.config.in_namespace;
        capabilities
    }

    fn usable(&self) -> Result<(), NetError> {
        self.find().map(drop)
    }

    async fn preflight(&self, context: &BackendContext<'_>, nets: &[Net], _: &[Port]) -> Result<(), NetError> {
        let script = match (self.find(), self.refusal(nets)) {
            (Ok(script), None) => script,
            (Ok(_), Some(refusal)) => return Err(NetError::Refused(refusal)),
            (Err(NetError::Unsupported { what, remedy }), Some(refusal)) => {
                return Err(NetError::Unsupported { what: format!("{what}; {refusal}"), remedy });
            }
            (Err(error), _) => return Err(error),
        };
        let place = self.place(context)?;
        if ScriptState::of(context).is_none() {
            ScriptState::begin(context, script, place);
        }
        Ok(())
    }

    async fn create_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        Ok(())
    }

    async fn setup(&self, context: &BackendContext<'_>, port: &Port) -> Result<PortConfig, NetError> {
        let state = ScriptState::of(context).ok_or_else(too_early)?;
        if let Some(port_config) = state.port_config(port) {
            return Ok(port_config);
        }
        if let Some(refusal) = self.refusal(std::slice::from_ref(&port.net)) {
            return Err(NetError::Refused(refusal));
        }
        let tap = qemu_args::tap(port);
        let there = has_link(state.namespace(context), &tap)
            .map_err(|error| NetError::io(format!("look for a link `{tap}`"), error))?;
        let call = self.start(&state, port, None)?;
        // Recorded before the call waits: a cancelled caller still has to tear it down.
        state.begin_port(port, call.tree(), !there);
        let answer = call.answer(script_output::read).await?;
        let kvm = KvmArgs::from_args(answer.args).at(state.place.clone());
        let access = answer.access.unwrap_or_else(|| qemu_args::access(&kvm, port));
        let port_config = PortConfig { kvm, access };
        state.finish_port(port, port_config.clone(), answer.teardown);
        Ok(port_config)
    }

    async fn teardown(&self, context: &BackendContext<'_>, port: &Port) -> Result<(), NetError> {
        let Some(state) = ScriptState::of(context) else { return Ok(()) };
        let Some(entry) = state.forget(port) else { return Ok(()) };
        match self.undo(context, &state, port, entry).await {
            problems if problems.is_empty() => Ok(()),
            problems => Err(NetError::Other { message: problems.join("; "), source: None }),
        }
    }

    async fn delete_net(&self, _: &BackendContext<'_>, _: &Net) -> Result<(), NetError> {
        Ok(())
    }
}

/// Removes a tap. Processes that have it open are exiting, or are not ours.
async fn remove(namespace: &Namespace, tap: &str) -> io::Result<()> {
    let deadline = Instant::now() + KILL_TIMEOUT;
    loop {
        match remove_tap(namespace, tap) {
            Ok(true) => return Ok(()),
            Err(error) if error.kind() != io::ErrorKind::ResourceBusy => return Err(error),
            _ if Instant::now() > deadline => return Err(io::ErrorKind::ResourceBusy.into()),
            // The kernel has no event for a tap that becomes free.
            _ => sleep(AGAIN).await,
        }
    }
}

/// The error of a call that comes before another one that it needs.
fn too_early() -> NetError {
    NetError::Other { message: "setup was called too early".to_owned(), source: None }
}
