//! What is said to a plugin and what it answers, as JSON: the protocol that `docs/plugins.md` describes. Pure; sends nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::host::Netns;
use crate::name::ClusterName;
use crate::net::{self, HostAccess, Net, Port, VmToVm};
use crate::topology::{NetKind, Problems};

/// What a plugin is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub(super) enum Request {
    /// What the instance can do. Comes first, and once.
    Describe,
    /// Whether this host can carry nets with it at all.
    Usable,
    /// Whether this host can carry these nets with these ports.
    Preflight {
        #[serde(rename = "site")]
        cluster: ClusterInfo,
        nets: Vec<Net>,
        ports: Vec<Port>,
    },
    /// Makes what the ports of a net share.
    CreateNet {
        #[serde(rename = "site")]
        cluster: ClusterInfo,
        net: Net,
    },
    /// Wires a port.
    Setup {
        #[serde(rename = "site")]
        cluster: ClusterInfo,
        port: Port,
    },
    /// Undoes a setup.
    Teardown {
        #[serde(rename = "site")]
        cluster: ClusterInfo,
        port: Port,
    },
    /// Undoes the making of a net.
    DeleteNet {
        #[serde(rename = "site")]
        cluster: ClusterInfo,
        net: Net,
    },
    /// The cluster has ended: what is remembered of it goes.
    End {
        #[serde(rename = "site")]
        cluster: ClusterInfo,
    },
}

/// The cluster that a request is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ClusterInfo {
    /// A number that no other cluster of this process has or will have.
    pub(super) id: u64,
    /// Its name.
    pub(super) cluster: ClusterName,
    /// Its private folder.
    pub(super) dir: PathBuf,
    /// Its network namespace, if it has one.
    pub(super) namespace: Option<Netns>,
}

/// What a plugin answers: what was asked for, or why not.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply<T> {
    /// It is done.
    Ok(T),
    /// It is not.
    Error(Error),
}

/// The answer to what has none but that it is done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Done {}

/// The answer to [`Request::Describe`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    /// What it can do for each kind of net, or for `all` that are not named.
    pub(super) capabilities: BTreeMap<Kind, Capabilities>,
}

/// Which nets capabilities are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// Those that are not named.
    All,
    Internal,
    Cluster,
    External,
    Other,
}

/// [`net::Capabilities`], of which only what is promised is said.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Capabilities {
    vm_to_vm: VmToVm,
    mtu_max: u16,
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
    /// Words for QEMU.
    #[serde(rename = "words")]
    pub(super) args: Vec<String>,
    /// The tokens of the descriptors that they name.
    #[serde(default)]
    pub(super) descriptors: BTreeMap<String, u64>,
    /// Where QEMU must run.
    #[serde(default)]
    pub(super) place: QemuNetns,
    /// How the host reaches the node.
    #[serde(default)]
    pub(super) access: HostAccess,
}

/// [`net::QemuNetns`], in words.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum QemuNetns {
    /// Where the owner is.
    #[default]
    Here,
    /// In the network namespace of this file.
    File(PathBuf),
    /// In the cluster's network namespace.
    Cluster,
}

/// [`net::NetError`], in words.
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
    /// The operating system said no.
    Io {
        action: String,
        /// Its number, of errno(3).
        errno: i32,
    },
    /// Settings that it does not take.
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

/// A setting that is not taken, and where it stands in the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Problem {
    pub(super) place: String,
    pub(super) message: String,
}

impl Description {
    /// What it says of a kind of net.
    pub(super) fn of(&self, kind: NetKind) -> Option<net::Capabilities> {
        let said = self.capabilities.get(&kind.into()).or_else(|| self.capabilities.get(&Kind::All));
        said.copied().map(net::Capabilities::from)
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
        let net::Capabilities { host_access, vm_to_vm, mtu_max, offloads, durable, hotplug, needs_namespace } = of;
        Self { vm_to_vm, mtu_max, host_access, offloads, durable, hotplug, needs_namespace }
    }
}

impl From<Problems> for Error {
    fn from(problems: Problems) -> Self {
        let problem = |p: &crate::topology::Problem| Problem { place: p.place.clone(), message: p.message.clone() };
        Self::Settings { problems: problems.iter().map(problem).collect() }
    }
}
