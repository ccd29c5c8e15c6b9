//! What touches this machine: claims on shared numbers, the folders of clusters, network namespaces, memory, descriptors.
//! Knows nothing of QEMU, guests or what a cluster does.

mod claims;
mod descriptors;
mod family;
pub mod folder;
pub mod links;
mod memory;
pub mod namespace;
pub mod passing;
mod private_dir;
mod store;
mod tap;
mod uplink;

pub use claims::{Claim, ClaimError, Claims, Holder};
pub use descriptors::allow_descriptors;
pub use family::{Ending, Family, FamilyOutput, end_with_thread};
pub use folder::{Folder, FolderError};
pub use memory::available_memory;
pub use namespace::{Namespace, NamespaceError, Netns};
pub use private_dir::Fault;
pub(crate) use private_dir::{Access, DirError, PrivateDir};
pub use store::Store;
pub(crate) use tap::keep_tap;
pub use tap::{has_link, remove_tap};
pub use uplink::{Uplink, UplinkError};
