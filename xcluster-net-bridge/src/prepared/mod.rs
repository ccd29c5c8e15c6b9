//! Network namespaces that root prepares once and a user then enters without any privilege (`xcluster nsadd`): with a wire to
//! the host, a way out through it, and bridges. Knows nothing of clusters, which use them like any other namespace.
//!
//! They outlive the process that makes them, so everything has a name that follows from the user and a number, and what has
//! none is written down: `remove` leaves the host as it was.
//!
//! * [`prepare`], [`remove`]: start here. `prepare.rs` and `remove.rs` are the order of things.
//! * `survey`: what is in the way, before anything is changed.
//! * `ledger`: what is written down, and the lock on it.
//! * `files`, `links`, `settings`, `nft`, `firewall`: how each kind of thing is made and removed.
//! * `within`, `occupants`: inside of a namespace, and who is there.

mod error;
mod files;
mod firewall;
mod index;
mod ledger;
mod links;
mod nft;
mod occupants;
mod owner;
mod prepare;
mod remove;
mod settings;
mod survey;
mod within;

pub use error::{Obstacle, PreparedError};
pub use index::{Ends, Index, IndexError};
pub use occupants::Occupant;
pub use owner::{Owner, OwnerError};
pub use prepare::{Prepared, Wanted, prepare};
pub use remove::{Removed, remove};
