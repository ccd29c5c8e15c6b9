//! Requests to a plugin and its replies, as JSON: the protocol that `docs/plugins.md` describes. Pure.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host::Netns;
use crate::name::ClusterName;
use crate::net::{self, HostAccess, Net, Port, VmToVm};
use crate::topology::{NetKind, Problems};

/// A request to a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub(super) enum Request {
    /// Describe the capabilities of the instance. The first request, made once.
    Describe,
    /// Check whether this host can carry nets with this backend.
    Usable,
    /// Check whether this host can carry these nets with these ports.
    Preflight {
        #[serde(rename = "site")]
        cluster: ClusterInfo,
        nets: Vec<Net>,
        ports: Vec<Port>,
    },
    /// Make what the ports of a net share.
    CreateNet {
        #[serde(rename = "site")]
        cluster: ClusterInfo,
        net: Net,
    },
    /// Set up a port.
    Setup {
        #[serde(rename = "site")]
        cluster: ClusterInfo,
        port: Port,
    },
    /// Tear down a port.
    Teardown {
        #[serde(rename = "site")]
        cluster: ClusterInfo,
        port: Port,
    },
    /// Remove what the ports of a net share.
    DeleteNet {
        #[serde(rename = "site")]
        cluster: ClusterInfo,
        net: Net,
    },
    /// The cluster has ended: forget its state.
    End {
        #[serde(rename = "site")]
        cluster: ClusterInfo,
    },
}

/// The cluster of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ClusterInfo {
    /// A number that is unique among all clusters of this process, past and future.
    pub(super) id: u64,
    /// Its name.
    pub(super) cluster: ClusterName,
    /// Its private folder.
    pub(super) dir: PathBuf,
    /// Its network namespace, if it has one.
    pub(super) namespace: Option<Netns>,
}

/// A reply of a plugin.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply<T> {
    /// Success, with the answer.
    Ok(T),
    /// Failure.
    Error(Error),
}

/// The answer to a request that only succeeds or fails.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Done {}

/// The answer to [`Request::Describe`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    /// The capabilities for each kind of net, or for `all` others.
    pub(super) capabilities: BTreeMap<Kind, Capabilities>,
}

/// The nets that capabilities are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Kinds of nets that are not named.
    All,
    Internal,
    Cluster,
    External,
    Other,
}

/// [`net::Capabilities`]. Only the first two fields are required.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Capabilities {
    vm_to_vm: VmToVm,
    mtu_max: u16,
    #[serde(default)]
    max_ports: Option<usize>,
    #[serde(default)]
    lossy: bool,
    #[serde(default)]
    host_access: bool,
    #[serde(default)]
    offloads: bool,
    #[serde(default)]
    durable: bool,
    #[serde(default)]
    hotplug: bool,
    #[serde(default)]
    needs_namespace: bool,
}

/// The answer to [`Request::Setup`].
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PortConfig {
    /// Args for QEMU.
    #[serde(rename = "words")]
    pub(super) args: Vec<String>,
    /// The tokens of the descriptors that the args name.
    #[serde(default)]
    pub(super) descriptors: BTreeMap<String, u64>,
    /// Where QEMU must run.
    #[serde(default)]
    pub(super) place: QemuNetns,
    /// The way from the host to the node.
    #[serde(default)]
    pub(super) access: HostAccess,
}

/// [`net::QemuNetns`] in JSON.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum QemuNetns {
    /// In the owner's network namespace.
    #[default]
    Here,
    /// In the network namespace of this file.
    File(PathBuf),
    /// In the cluster's network namespace.
    Cluster,
}

/// [`net::NetError`] in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Error {
    Unsupported {
        what: String,
        #[serde(default)]
        remedy: Option<String>,
    },
    Refused {
        message: String,
    },
    Conflict {
        object: String,
    },
    InUse {
        what: String,
        by: String,
    },
    /// A system call failed.
    Io {
        action: String,
        /// The number, of errno(3).
        errno: i32,
    },
    /// Settings that the backend refuses.
    Settings {
        problems: Vec<Problem>,
    },
    /// The backend panicked.
    Panicked {
        message: String,
    },
    Other {
        message: String,
    },
}

/// A setting that is refused, and its place in the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Problem {
    pub(super) place: String,
    pub(super) message: String,
}

impl Description {
    /// The capabilities for a kind of net.
    pub(super) fn of(&self, kind: NetKind) -> Option<net::Capabilities> {
        let said = self.capabilities.get(&kind.into()).or_else(|| self.capabilities.get(&Kind::All));
        said.copied().map(net::Capabilities::from)
    }
}

/// A reply in the form that is sent.
pub(super) fn reply<T: Serialize>(result: Result<T, Error>) -> String {
    let reply = match result {
        Ok(answer) => Reply::Ok(answer),
        Err(error) => Reply::Error(error),
    };
    let fallback =
        |error| serde_json::json!({"error": {"kind": "other", "message": format!("cannot write the reply: {error}")}});
    serde_json::to_string(&reply).unwrap_or_else(|error| fallback(error).to_string())
}

impl Error {
    pub(super) fn other(message: impl Into<String>) -> Self {
        Self::Other { message: message.into() }
    }

    /// The error of a panic.
    pub(super) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked { message: text.unwrap_or("no message").to_owned() }
    }
}

impl From<NetKind> for Kind {
    fn from(kind: NetKind) -> Self {
        match kind {
            NetKind::Internal => Self::Internal,
            NetKind::Cluster => Self::Cluster,
            NetKind::External => Self::External,
            NetKind::Other => Self::Other,
        }
    }
}

impl From<Capabilities> for net::Capabilities {
    fn from(said: Capabilities) -> Self {
        let mut capabilities = Self::joining(said.vm_to_vm, said.mtu_max);
        capabilities.max_ports = said.max_ports;
        capabilities.lossy = said.lossy;
        capabilities.host_access = said.host_access;
        capabilities.offloads = said.offloads;
        capabilities.durable = said.durable;
        capabilities.hotplug = said.hotplug;
        capabilities.needs_namespace = said.needs_namespace;
        capabilities
    }
}

impl From<net::Capabilities> for Capabilities {
    fn from(of: net::Capabilities) -> Self {
        let net::Capabilities {
            host_access,
            vm_to_vm,
            max_ports,
            lossy,
            mtu_max,
            offloads,
            durable,
            hotplug,
            needs_namespace,
        } = of;
        Self { vm_to_vm, mtu_max, max_ports, lossy, host_access, offloads, durable, hotplug, needs_namespace }
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        let problem = |p: &crate::topology::Problem| Problem { place: p.place.clone(), message: p.message.clone() };
        Self::Settings { problems: problems.iter().map(problem).collect() }
    }
}
