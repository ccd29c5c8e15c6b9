//! What a backend can do, as data that a plan is checked against before anything is touched.

use serde::{Deserialize, Serialize};

/// Whether and how VMs on the same net hear each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VmToVm {
    /// They do not.
    None,
    /// Every frame goes to everyone, its sender included. Guests that bridge two such nets make a storm.
    Hub,
    /// Frames go where they belong.
    Switch,
}

/// What a backend can do for a kind of net.
///
/// A promise has a price: what shows it is told with it, as a trial of `testing::conformance` (`ContractCase`) and an expectation of
/// `testing::scenarios` (`HostLock`), and every backend that makes it is put to both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// The host reaches the nodes' TCP ports, and they reach the host's address on the net.
    ///
    /// Shown by `ContractCase::HostAccess`; with VMs by `Expectation::HostLogsIn`, `Expectation::HostMegabytes` and `Expectation::NodesReachTheHost`.
    pub host_access: bool,
    /// How VMs hear each other.
    ///
    /// Shown by `ContractCase::NodesTogether` or `ContractCase::NodesApart`, `ContractCase::Echo`, `ContractCase::NetsApart` and `ContractCase::ClustersApart`; with VMs
    /// by `Expectation::NodesTogether`, `Expectation::Megabytes`, `Expectation::NetsApart`, `Expectation::ClustersApart` and `Expectation::EveryNetOfMany`.
    pub vm_to_vm: VmToVm,
    /// The largest MTU that is carried, in bytes.
    ///
    /// Shown by `ContractCase::LargestMtu`, and that more is refused cleanly by `ContractCase::SetupOfTooMuch`; with VMs by `Expectation::WholeMtu`.
    pub mtu_max: u16,
    /// Checksums and segmentation may be left to the data path.
    ///
    /// Shown with VMs only, by `Expectation::Offloads`; that contents are right all the same by `Expectation::Megabytes`.
    pub offloads: bool,
    /// What is created outlives the process that created it, and can be removed by another from the request alone.
    ///
    /// Shown by `ContractCase::TeardownByAnother`.
    pub durable: bool,
    /// A port can be added to a VM that runs.
    ///
    /// Shown by `ContractCase::ArgsWhileItRuns`, on a QEMU that runs.
    pub hotplug: bool,
    /// The cluster's network namespace is needed: [`BackendContext::namespace`](super::BackendContext::namespace).
    ///
    /// Where it is not said, every trial and expectation passes without one, which shows that.
    pub needs_namespace: bool,
}

impl Capabilities {
    /// A net that joins its VMs and nothing else: the rest is to be set by the backend that can do more.
    pub const fn joining(vm_to_vm: VmToVm, mtu_max: u16) -> Self {
        Self {
            host_access: false,
            vm_to_vm,
            mtu_max,
            offloads: false,
            durable: false,
            hotplug: false,
            needs_namespace: false,
        }
    }
}
