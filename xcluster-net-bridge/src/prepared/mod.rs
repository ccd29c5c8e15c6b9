//! Network namespaces that root prepares once, so that a user can enter them without privilege (`xcluster nsadd`). Each has a
//! link to the host, access to the outside through it, and bridges. Clusters use them like any other namespace.
//!
//! They outlive the process that makes them. Their objects have names that follow from the user and a number; changes without
//! such a name are kept in a file. So `remove` leaves the host as it was.
//!
//! * [`prepare()`], [`remove()`]: start here. `prepare.rs` and `remove.rs` have the order of the steps.
//! * `obstacles`: checks before anything is changed.
//! * `state_file`: the record of changes, and the lock on it.
//! * `files`, `links`, `settings`, `nft`, `firewall`: making and removing each kind of object.
//! * `in_namespace`, `namespace_users`: code in a namespace, and the processes that use one.

mod error;
mod files;
mod firewall;
mod in_namespace;
mod index;
mod links;
mod namespace_users;
mod nft;
mod obstacles;
mod owner;
mod prepare;
mod remove;
mod settings;
mod state_file;

pub use error::{Obstacle, PreparedError};
pub use index::{Ends, Index, IndexError};
pub use namespace_users::NamespaceUser;
pub use owner::{Owner, OwnerError};
pub use prepare::{NamespaceRequest, Prepared, prepare};
pub use remove::{Removed, remove};
