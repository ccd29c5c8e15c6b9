//! Network namespaces that root prepares once and a user then enters without any privilege (`xcluster nsadd`): with a wire to
//! the host, a way out through it, and bridges. Knows nothing of clusters, which use them like any other namespace.
//!
//! They outlive the process that makes them, so everything has a name that follows from the user and a number, and what has
//! none is written down: `remove` leaves the host as it was.
//!
//! * [`prepare()`], [`remove()`]: start here. `prepare.rs` and `remove.rs` are the order of things.
//! * `obstacles`: what is in the way, before anything is changed.
//! * `state_file`: what is written down, and the lock on it.
//! * `files`, `links`, `settings`, `nft`, `firewall`: how each kind of thing is made and removed.
//! * `in_namespace`, `namespace_users`: inside of a namespace, and who is there.

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
