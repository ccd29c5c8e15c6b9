//! Backends that are loaded at run time: libraries with one exported C function (feature `plugin`).
//!
//! * [`PluginBackend`]: start here, to use a plugin. [`PluginConfig`]: its file, settings and deadline.
//! * [`find`], [`FoundPlugin`]: the plugins in the usual folders.
//! * [`export_plugin!`](crate::export_plugin): start here, to write a plugin in Rust: one line after an `impl NetBackend`.
//! * [`BlockingBackend`]: the same without async.
//! * [`abi`]: start here, to write a plugin in another language; `include/xcluster_plugin.h` is generated from it.
//!
//! The parts of a call, from the outside in: `backend` builds the request, `cluster` orders the calls, `instance` makes the
//! call, `watchdog` limits its time, `host` and `tokens` serve the plugin's own requests, `reply` checks the answer. `load`
//! opens a library, if `file_permissions` allows it. `export` is the plugin's side.

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
