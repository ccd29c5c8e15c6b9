//! The configuration of a script, and what it is assumed to promise.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::net::VmToVm;

/// The name that topologies and `--net` choose the script backend by.
pub(super) const NAME: &str = "script";

/// Which script sets up the nets, where it runs, and what it promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ScriptConfig {
    /// The script: a path, or a name that is looked up in `PATH`.
    pub script: PathBuf,
    /// The QEMU program, which the script sees as `__kvm`. Default: `qemu-system-x86_64`.
    pub kvm: PathBuf,
    /// Further variables for the script. They replace those of the owner, but not `__mtu` and `__kvm`.
    pub env: BTreeMap<String, String>,
    /// The working folder of the script. Default: the owner's.
    pub folder: Option<PathBuf>,
    /// Whether the script and QEMU run in the cluster's network namespace, instead of the owner's. There the script may make
    /// links without being root. With `true`, the cluster always has a namespace. Default: false.
    pub in_namespace: bool,
    /// The deadline of a call. After it, the script is killed with all that it has started. A number of seconds in settings.
    /// Default: 30 s.
    #[serde(with = "seconds")]
    pub deadline: Duration,
    /// The promises for the internal net. Default: the host reaches the nodes.
    pub internal: ScriptNet,
    /// The promises for the other nets. Default: VMs hear each other, and the host has no access.
    pub others: ScriptNet,
}

/// The promises of a script for a kind of net, which xcluster cannot find out. By default, those of a tap on a bridge, so
/// that no topology is refused because of the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ScriptNet {
    /// The host reaches the nodes' TCP ports, and they reach the host's address on the net.
    pub host_access: bool,
    /// How VMs hear each other. For a hub, topologies are refused in which guests would make a storm.
    pub vm_to_vm: VmToVm,
    /// The largest MTU that is carried, in bytes.
    pub mtu_max: u16,
}

impl ScriptConfig {
    /// The default deadline of a call.
    pub const DEADLINE: Duration = Duration::from_secs(30);

    /// A script with default settings.
    pub fn new(script: impl Into<PathBuf>) -> Self {
        Self {
            script: script.into(),
            kvm: PathBuf::from("qemu-system-x86_64"),
            env: BTreeMap::new(),
            folder: None,
            in_namespace: false,
            deadline: Self::DEADLINE,
            internal: ScriptNet { host_access: true, ..ScriptNet::default() },
            others: ScriptNet::default(),
        }
    }

    /// Sets the QEMU program; see [`kvm`](Self::kvm).
    #[must_use]
    pub fn with_kvm(mut self, kvm: impl Into<PathBuf>) -> Self {
        self.kvm = kvm.into();
        self
    }

    /// Adds a variable; see [`env`](Self::env).
    #[must_use]
    pub fn with_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Sets the folder; see [`folder`](Self::folder).
    #[must_use]
    pub fn with_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Runs scripts in the cluster's network namespace, or not; see [`in_namespace`](Self::in_namespace).
    #[must_use]
    pub const fn in_namespace(mut self, inside: bool) -> Self {
        self.in_namespace = inside;
        self
    }

    /// Sets the deadline of a call; see [`deadline`](Self::deadline).
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sets the promises for the internal net; see [`internal`](Self::internal).
    #[must_use]
    pub const fn promising_internal(mut self, promise: ScriptNet) -> Self {
        self.internal = promise;
        self
    }

    /// Sets the promises for the other nets; see [`others`](Self::others).
    #[must_use]
    pub const fn promising_others(mut self, promise: ScriptNet) -> Self {
        self.others = promise;
        self
    }
}

impl ScriptNet {
    /// The largest frame of a tap, 65535 bytes (`MAX_MTU` of drivers/net/tun.c), without its Ethernet header.
    pub const MTU_MAX: u16 = 65535 - 14;

    /// A promise of these three values.
    pub const fn new(host_access: bool, vm_to_vm: VmToVm, mtu_max: u16) -> Self {
        Self { host_access, vm_to_vm, mtu_max }
    }
}

impl Default for ScriptNet {
    fn default() -> Self {
        Self { host_access: false, vm_to_vm: VmToVm::Switch, mtu_max: Self::MTU_MAX }
    }
}

/// A duration in a file: a number of seconds, with a fraction if needed.
mod seconds {
    use std::time::Duration;

    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(from)?;
        let time = Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
        time.ok_or_else(|| D::Error::custom(format!("{seconds} is not a valid number of seconds")))
    }
}
