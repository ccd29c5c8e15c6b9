//! The configuration of taps.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use xcluster_core::topology::Problems;

/// The name that topologies and `--net` choose this backend by.
pub(crate) const NAME: &str = "bridge";

/// The largest MTU. A tap takes frames of 65535 bytes (`MAX_MTU` of drivers/net/tun.c), of which 14 are the Ethernet header; a
/// bridge would take more.
pub(crate) const MTU_MAX: u16 = 65535 - 14;

/// How QEMU uses its taps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BridgeConfig {
    /// Queue pairs per NIC, 1 to 16. With more than one, a guest with several CPUs sends and receives on all of them. Each
    /// makes a tap slower to bring up, and only KVM with vhost gains from it. Default: 1.
    pub queues: u8,
    /// Whether the kernel moves the frames between tap and guest, instead of QEMU. Default: if `/dev/vhost-net` can be
    /// opened.
    pub vhost: Vhost,
}

/// Whether the kernel moves the frames between tap and guest: `/dev/vhost-net`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Vhost {
    /// If the file can be opened.
    #[default]
    Auto,
    /// Always; without the file, clusters do not start.
    On,
    /// Never.
    Off,
}

impl BridgeConfig {
    /// The range of queue pairs per NIC. The kernel allows 256 per tap (`MAX_TAP_QUEUES` of drivers/net/tap.c). Each pair
    /// takes one or two descriptors of QEMU and of the owner.
    pub const QUEUES: RangeInclusive<u8> = 1..=16;

    /// Checks what serde does not.
    ///
    /// # Errors
    /// Every number that is out of its range, with its place.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        if !Self::QUEUES.contains(&self.queues) {
            let (min, max) = Self::QUEUES.into_inner();
            problems.add("queues", format!("a NIC has {min} to {max} pairs of queues, not {}", self.queues));
        }
        problems.into_result()
    }

    /// Sets the queue pairs per NIC; see [`queues`](Self::queues).
    #[must_use]
    pub const fn with_queues(mut self, queues: u8) -> Self {
        self.queues = queues;
        self
    }

    /// Chooses whether the kernel moves frames; see [`vhost`](Self::vhost).
    #[must_use]
    pub const fn with_vhost(mut self, vhost: Vhost) -> Self {
        self.vhost = vhost;
        self
    }
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self { queues: 1, vhost: Vhost::Auto }
    }
}
