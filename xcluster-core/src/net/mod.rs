//! The backend API between a cluster and the networks under it. A backend implements [`NetBackend`]; this module knows none.
//!
//! * [`NetBackend`]: the contract; start here.
//! * [`Net`] and [`Port`]: requests to a backend.
//! * [`PortConfig`], [`KvmArgs`], [`HostAccess`]: its answers.
//! * [`Capabilities`]: what it promises, so that a plan can be refused before anything is touched.
//! * [`Registry`]: backends by name.
//! * [`Settings`], [`configure`]: settings in a topology that only the backend understands.

mod backend;
pub(crate) mod by_name;
mod capabilities;
mod error;
mod kvm;
#[cfg(test)]
pub(crate) mod noop_backend;
mod port;
mod registry;
mod settings;

#[cfg(feature = "plugin")]
pub(crate) use backend::takes_none;
pub use backend::{BackendContext, NetBackend};
pub use capabilities::{Capabilities, VmToVm};
pub use error::NetError;
pub use kvm::{KvmArgs, Netdev, Nic, QemuNetns};
pub use port::{Forward, HostAccess, Net, Port, PortConfig};
pub use registry::{Registry, RegistryError, SkippedBackends};
pub use settings::{Settings, configure, merge};
