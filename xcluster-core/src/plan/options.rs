//! What is wanted of a cluster beyond its topology. Plain data; who fills it in is the caller's affair.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host::Netns;
use crate::name::NodeId;

/// What is wanted of a cluster beyond its topology.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Options {
    /// The backend of nets that name none; by default the first that is registered.
    pub backend: Option<String>,
    /// The network namespace that bridges and the like are made in, where a backend needs one.
    pub netns: Netns,
    /// Whether a private network namespace gets a way to the world, by `pasta`.
    pub uplink: bool,
    /// What the nodes boot.
    pub guest: GuestSource,
    /// When a node counts as ready; by default the agent's word, or for a disk image ssh.
    pub ready: Option<Readiness>,
    /// Where a node takes its number from.
    pub identity: Identity,
    /// How the processors are virtualised.
    pub accel: Accel,
    /// QEMU's machine type; `pc` by default.
    pub machine: String,
    /// Further args for every QEMU.
    pub qemu_args: Vec<String>,
    /// Further args for the QEMUs of single nodes, after those for every QEMU.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_qemu_args: BTreeMap<NodeId, Vec<String>>,
    /// Whether the nodes let everybody in by telnet and ssh on the internal net. Off means that neither is started.
    pub login: bool,
    /// Whether the overlay that configures all nets but the internal one is generated from the topology.
    pub configure: bool,
    /// Overlays unpacked over the guest, in this order: a tar, a folder, or a folder with an executable `tar`.
    pub overlays: Vec<PathBuf>,
    /// How long a node may take from QEMU's start until it is ready; by default what suits the accelerator.
    pub deadline: Option<Duration>,
    /// How many nodes boot at the same time, over all clusters of the user; by default what the accelerator bears.
    pub boots: Option<usize>,
    /// The QEMU to run, a path or a name to be found on the path.
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

    /// Whether the guests read the overlay that configures all nets but the internal one: only our own do.
    pub(crate) fn configures(&self) -> bool {
        let ours = matches!(self.guest, GuestSource::Standard | GuestSource::Kernel { initramfs: None, .. });
        self.configure && ours
    }
}

/// What the nodes boot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum GuestSource {
    /// The guest built from Debian's packages, or Ubuntu's.
    #[default]
    Standard,
    /// A kernel and an initramfs of one's own. What is missing comes from the standard guest.
    Kernel {
        /// The kernel, as QEMU's `-kernel` takes it.
        kernel: Option<PathBuf>,
        /// The initramfs that overlays are added to.
        initramfs: Option<PathBuf>,
    },
    /// A disk image of one's own. Nodes write to an overlay of it, never to the image.
    Disk {
        /// The image, in a format that QEMU knows.
        image: PathBuf,
    },
}

/// When a node counts as ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    /// The agent says so: ours in the standard guest, qemu-ga in one's own image.
    Agent,
    /// Its ssh server greets the host.
    Ssh,
    /// This text appears on its console.
    Console(String),
    /// QEMU runs.
    Started,
}

/// Where a node takes its number from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// The last byte of eth0's hardware address.
    #[default]
    Mac,
    /// A kernel argument, for networks that choose the hardware address themselves.
    Kernel,
}

/// How the processors are virtualised.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accel {
    /// By KVM if a guest really runs on it here, else in software.
    #[default]
    Auto,
    /// By KVM; an error if no guest runs on it.
    Kvm,
    /// In software, which is slower and works everywhere.
    Tcg,
}
