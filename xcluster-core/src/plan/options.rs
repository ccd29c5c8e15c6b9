//! Everything about a cluster that is not in the topology, as plain data.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::Netns;
use crate::name::NodeId;

/// Everything about a cluster that is not in the topology.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// The backend of nets that name none; by default the first registered one.
    pub backend: Option<String>,
    /// The network namespace for links such as bridges, if a backend needs one.
    pub netns: Netns,
    /// Whether a private network namespace gets an uplink: a connection to the outside by `pasta`.
    pub uplink: bool,
    /// The guest that the nodes boot.
    pub guest: GuestSource,
    /// When a node counts as ready; by default when the agent says so, or for a disk image when its ssh server answers.
    pub ready: Option<Readiness>,
    /// How a node gets its number.
    pub identity: Identity,
    /// The accelerator to use.
    pub accel: Accel,
    /// QEMU's machine type; `pc` by default.
    pub machine: String,
    /// Further args for every QEMU.
    pub qemu_args: Vec<String>,
    /// Further args for single QEMUs, after those for every QEMU.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_qemu_args: BTreeMap<NodeId, Vec<String>>,
    /// Whether the nodes run telnet and ssh servers, which accept everybody on the internal net without a password.
    pub login: bool,
    /// Whether the topology overlay is generated, which configures all nets except the internal one.
    pub configure: bool,
    /// Overlays over the image, in this order: a tar, a folder, or a folder with an executable `tar`.
    pub overlays: Vec<PathBuf>,
    /// How long a node may take from QEMU's start until it is ready; the default depends on the accelerator.
    pub deadline: Option<Duration>,
    /// How many nodes boot at the same time, in all clusters of the user; the default depends on the accelerator.
    pub boots: Option<usize>,
    /// The QEMU to run: a path, or a name that is looked up in `PATH`.
    pub qemu: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            backend: None,
            netns: Netns::Private,
            uplink: false,
            guest: GuestSource::Standard,
            ready: None,
            identity: Identity::Mac,
            accel: Accel::Auto,
            machine: "pc".to_owned(),
            qemu_args: Vec::new(),
            node_qemu_args: BTreeMap::new(),
            login: true,
            configure: true,
            overlays: Vec::new(),
            deadline: None,
            boots: None,
            qemu: PathBuf::from("qemu-system-x86_64"),
        }
    }
}

impl Options {
    /// The further args for a node's QEMU.
    pub(crate) fn qemu_args_of(&self, node: NodeId) -> Vec<String> {
        let own = self.node_qemu_args.get(&node);
        self.qemu_args.iter().chain(own.into_iter().flatten()).cloned().collect()
    }

    /// When a node counts as ready.
    pub fn readiness(&self) -> Readiness {
        self.ready.clone().unwrap_or(match self.guest {
            GuestSource::Disk { .. } => Readiness::Ssh,
            _ => Readiness::Agent,
        })
    }

    /// Whether the topology overlay is used: only our own initramfs reads it.
    pub(crate) fn configures(&self) -> bool {
        let ours = matches!(self.guest, GuestSource::Standard | GuestSource::Kernel { initramfs: None, .. });
        self.configure && ours
    }
}

/// The guest that the nodes boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum GuestSource {
    /// The standard image, built from packages of Debian or Ubuntu.
    #[default]
    Standard,
    /// The user's kernel or initramfs, or both. The other one is that of the standard image.
    Kernel {
        /// The kernel, as QEMU's `-kernel` takes it.
        kernel: Option<PathBuf>,
        /// The initramfs that overlays are added to.
        initramfs: Option<PathBuf>,
    },
    /// The user's disk image. Nodes never write to it: their changes are lost when they end.
    Disk {
        /// The image, in a format that QEMU reads.
        image: PathBuf,
    },
}

/// When a node counts as ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Readiness {
    /// The agent says that the guest has booted: our agent in the standard image, qemu-ga in a user's image.
    Agent,
    /// The ssh server sends its greeting to the host.
    Ssh,
    /// The console shows this text.
    Console(String),
    /// QEMU runs.
    Started,
}

/// How a node gets its number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// The last byte of the MAC address of eth0.
    #[default]
    Mac,
    /// A kernel argument, for networks that choose the MAC address themselves.
    Kernel,
}

/// Which accelerator to use. [`AccelChoice`](crate::qemu::accel::AccelChoice) is the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// KVM if a guest can run on it on this host, otherwise TCG.
    #[default]
    Auto,
    /// KVM; an error if no guest can run on it.
    Kvm,
    /// TCG, QEMU's emulation, which is slower and works on every host.
    Tcg,
}
