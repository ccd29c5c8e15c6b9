//! What touches this machine: claims on shared numbers, the folders of clusters, memory, descriptors. Knows nothing of
//! QEMU, guests or what a cluster does.

mod claims;
mod descriptors;
pub mod folder;
mod memory;
mod store;

pub use claims::{Claim, ClaimError, Claims, Holder};
pub use descriptors::allow_descriptors;
pub use folder::{Folder, FolderError};
pub use memory::available_memory;
pub use store::Store;
