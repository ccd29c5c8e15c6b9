//! Resources of this machine: host locks, the folders of clusters, network namespaces, process trees, memory, descriptors.
//! Knows nothing of QEMU, guests or clusters.
//!
//! Building blocks: their interface may change between minor versions.

pub mod fd_passing;
pub mod folder;
mod host_locks;
pub mod namespace;
mod private_dir;
mod process_tree;
mod resources;
mod store;
mod tap;
mod uplink;

pub use folder::{Folder, FolderError};
pub use host_locks::{Holder, HostLock, HostLockError, HostLocks};
pub use namespace::{Namespace, NamespaceError, Netns};
pub use private_dir::Fault;
pub(crate) use private_dir::{Access, DirError, PrivateDir};
pub use process_tree::{ProcessTree, ProcessTreeOutput, TreeEnd, end_with_thread};
pub use resources::{available_memory, raise_fd_limit};
pub use store::Store;
pub(crate) use tap::keep_tap;
pub use tap::{has_link, remove_tap};
pub use uplink::{Uplink, UplinkError};
