//! Backends that are loaded at run time: a library with one exported C function. Knows nothing of what a plugin does.
//!
//! * [`PluginBackend`]: start here, to use one. [`PluginConfig`]: which one, and what is said to it.
//! * [`find`], [`FoundPlugin`]: where plugins are looked for, and what is there.
//! * [`export_plugin!`](crate::export_plugin): start here, to write one in Rust: a line behind an `impl NetBackend`.
//! * [`BlockingBackend`]: the same without async.
//! * [`abi`]: start here, to write one in another language; `include/xcluster_plugin.h` is generated from it.
//!
//! What a call is made of, from the outside in: `backend` knows what is asked, `cluster` when a call may come, `instance` how it
//! is made, `call` how long it may take, `host` and `tokens` what a plugin may ask for meanwhile, `reply` what came back. `load`
//! gets a library, if `trust` says that it may be one. `export` is the other side.

pub mod abi;
mod backend;
mod cluster;
mod error;
#[doc(hidden)]
pub mod export;
mod file_permissions;
mod host;
mod instance;
mod load;
mod message;
mod reply;
mod search;
mod tokens;
mod watchdog;

pub use backend::{PluginBackend, PluginConfig};
pub use error::PluginError;
pub use export::BlockingBackend;
pub use search::{FoundPlugin, find, folders, list};
