//! What a user can set about a script, and what a script is taken to promise. Runs none.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::net::VmToVm;

/// The name that topologies and `--net` choose the script backend by.
pub(super) const NAME: &str = "script";

/// Which script wires the nets, where it runs, and what it promises.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ScriptConfig {
    /// The script: a path, or a name that is looked up in `PATH`, as a shell does.
    pub script: PathBuf,
    /// The QEMU program, which the script sees as `__kvm`. Default: `qemu-system-x86_64`.
    pub kvm: PathBuf,
    /// Variables that it sees besides `__mtu`, `__kvm` and those of the owner; they win over the latter.
    pub env: BTreeMap<String, String>,
    /// The folder that it runs in. Default: the owner's.
    pub folder: Option<PathBuf>,
    /// Whether it runs in the cluster's network namespace, and QEMU with it, instead of where the owner is. There it may
    /// make links without being root, and the cluster has a namespace in any case. Default: no.
    pub in_namespace: bool,
    /// How long a call may take until it is killed with all that it has started. Default: 30 s.
    /// As a setting it is a number of seconds.
    #[serde(with = "seconds")]
    pub deadline: Duration,
    /// What it promises for the internal net. Default: the host reaches the nodes.
    pub internal: ScriptNet,
    /// What it promises for the other nets. Default: VMs hear each other, and the host none of them.
    pub others: ScriptNet,
}

/// What a script promises for a kind of net. Nobody can find that out: by default it is taken to carry all that a tap on a
/// bridge does, so that no topology is refused because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ScriptNet {
    /// The host reaches the nodes' TCP ports, and they reach the host's address on the net.
    pub host_access: bool,
    /// How VMs hear each other. Where it is said to be a hub, topologies are refused in which guests would make a storm.
    pub vm_to_vm: VmToVm,
    /// The largest MTU that is carried, in bytes.
    pub mtu_max: u16,
}

impl ScriptConfig {
    /// How long a call may take, if nothing else is said.
    pub const DEADLINE: Duration = Duration::from_secs(30);

    /// A script with everything else as usual.
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

    /// The same with this QEMU; see [`kvm`](Self::kvm).
    #[must_use]
    pub fn with_kvm(mut self, kvm: impl Into<PathBuf>) -> Self {
        self.kvm = kvm.into();
        self
    }

    /// The same with one more variable; see [`env`](Self::env).
    #[must_use]
    pub fn with_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The same in this folder; see [`folder`](Self::folder).
    #[must_use]
    pub fn with_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// The same in the cluster's network namespace, or not; see [`in_namespace`](Self::in_namespace).
    #[must_use]
    pub const fn in_namespace(mut self, inside: bool) -> Self {
        self.in_namespace = inside;
        self
    }

    /// The same with so much time for a call; see [`deadline`](Self::deadline).
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same with other promises for the internal net; see [`internal`](Self::internal).
    #[must_use]
    pub const fn promising_internal(mut self, promise: ScriptNet) -> Self {
        self.internal = promise;
        self
    }

    /// The same with other promises for the other nets; see [`others`](Self::others).
    #[must_use]
    pub const fn promising_others(mut self, promise: ScriptNet) -> Self {
        self.others = promise;
        self
    }
}

impl ScriptNet {
    /// The largest frame of a tap, 65535 bytes (`MAX_MTU` of drivers/net/tun.c), without its Ethernet header.
    pub const MTU_MAX: u16 = 65535 - 14;

    /// A promise in these words.
    pub const fn new(host_access: bool, vm_to_vm: VmToVm, mtu_max: u16) -> Self {
        Self { host_access, vm_to_vm, mtu_max }
    }
}

impl Default for ScriptNet {
    fn default() -> Self {
        Self { host_access: false, vm_to_vm: VmToVm::Switch, mtu_max: Self::MTU_MAX }
    }
}

/// A time as people write it in a file: seconds, with a fraction if need be.
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
        time.ok_or_else(|| D::Error::custom(format!("{seconds} is no number of seconds to wait")))
    }
}
