//! The capabilities of a backend: data that a plan is checked against before anything is touched.

use serde::{Deserialize, Serialize};

/// Whether and how VMs on the same net hear each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VmToVm {
    /// They do not.
    None,
    /// Every frame goes to every port, its sender's included. Guests that bridge two such nets make a storm.
    Hub,
    /// Frames go where they belong.
    Switch,
}

/// The promises of a backend for a kind of net.
///
/// Each field names the tests that prove it: a [`ContractCase`] of the conformance suite, or an [`Expectation`] of the scenarios
/// with real VMs. A backend that promises something is put to both; the suites do not demand anything else.
///
/// [`ContractCase`]: https://docs.rs/xcluster-core/latest/xcluster_core/testing/conformance/enum.ContractCase.html
/// [`Expectation`]: https://docs.rs/xcluster-core/latest/xcluster_core/testing/scenarios/enum.Expectation.html
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capabilities {
    /// The host reaches the nodes' TCP ports, and they reach the host's address on the net.
    ///
    /// Shown by `ContractCase::HostAccess`; with VMs by `Expectation::HostLogsIn`, `Expectation::HostMegabytes` and
    /// `Expectation::NodesReachTheHost`.
    pub host_access: bool,
    /// How VMs hear each other.
    ///
    /// Shown by `ContractCase::NodesTogether` or `ContractCase::NodesApart`, `ContractCase::Echo`, `ContractCase::NetsApart`
    /// and `ContractCase::ClustersApart`; with VMs by `Expectation::NodesTogether`, `Expectation::Megabytes`,
    /// `Expectation::NetsApart`, `Expectation::ClustersApart` and `Expectation::EveryNetOfMany`.
    pub vm_to_vm: VmToVm,
    /// The most ports that a net can have at the same time; `None` if the backend sets no limit. A point-to-point net has 2.
    ///
    /// Shown by `ContractCase::SetupsAtOnce`, which sets up 20 ports, or as many as are allowed. All cases and expectations
    /// keep to the limit.
    pub max_ports: Option<usize>,
    /// Frames may get lost even on an idle net, so a sender has to repeat them.
    ///
    /// Without it, `ContractCase::EveryFrame` shows that each of many single frames arrives. With it, the other cases repeat
    /// a frame until it arrives.
    pub lossy: bool,
    /// The largest MTU that is carried, in bytes.
    ///
    /// Shown by `ContractCase::LargestMtu`, and `ContractCase::SetupOfTooMuch` shows that a larger one is refused without
    /// leftovers; with VMs by `Expectation::WholeMtu`.
    pub mtu_max: u16,
    /// Checksums and segmentation may be left to the data path.
    ///
    /// Shown with VMs only, by `Expectation::Offloads`; `Expectation::Megabytes` shows that contents are right all the same.
    pub offloads: bool,
    /// Each object outlives the process that created it. Another process can remove it from the request alone.
    ///
    /// Shown by `ContractCase::TeardownByAnother`.
    pub durable: bool,
    /// A port can be added to a running VM.
    ///
    /// Shown by `ContractCase::ArgsWhileItRuns`, on a QEMU that runs.
    pub hotplug: bool,
    /// The backend needs the cluster's network namespace: [`BackendContext::namespace`](super::BackendContext::namespace).
    ///
    /// A backend that does not need one passes every trial and expectation without one.
    pub needs_namespace: bool,
}

impl Capabilities {
    /// A net without loss that joins any number of VMs and does nothing else. A backend that can do more sets more fields.
    pub const fn joining(vm_to_vm: VmToVm, mtu_max: u16) -> Self {
        Self {
            host_access: false,
            vm_to_vm,
            max_ports: None,
            lossy: false,
            mtu_max,
            offloads: false,
            durable: false,
            hotplug: false,
            needs_namespace: false,
        }
    }

    /// Whether a net can have this many ports at the same time.
    pub fn allows(&self, ports: usize) -> bool {
        self.max_ports.is_none_or(|max| ports <= max)
    }

    /// Whether two VMs can hear each other.
    pub fn joins(&self) -> bool {
        self.vm_to_vm != VmToVm::None && self.allows(2)
    }
}
