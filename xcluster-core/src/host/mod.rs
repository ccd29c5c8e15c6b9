//! What touches this machine: host locks on shared numbers, the folders of clusters, network namespaces, memory, descriptors.
//! Knows nothing of QEMU, guests or what a cluster does.

mod fd_limit;
pub mod fd_passing;
pub mod folder;
mod host_locks;
mod memory;
pub mod namespace;
mod private_dir;
mod process_tree;
mod store;
mod tap;
mod uplink;

pub use fd_limit::raise_fd_limit;
pub use folder::{Folder, FolderError};
pub use host_locks::{Holder, HostLock, HostLockError, HostLocks};
pub use memory::available_memory;
pub use namespace::{Namespace, NamespaceError, Netns};
pub use private_dir::Fault;
pub(crate) use private_dir::{Access, DirError, PrivateDir};
pub use process_tree::{ProcessTree, ProcessTreeOutput, TreeEnd, end_with_thread};
pub use store::Store;
pub(crate) use tap::keep_tap;
pub use tap::{has_link, remove_tap};
pub use uplink::{Uplink, UplinkError};
