//! Networks that somebody else's program wires: the net-setup scripts of the shell version, unchanged, and libraries that are
//! loaded at run time. Knows nothing of what they do.
//!
//! * [`ScriptBackend`]: start here; its documentation is the contract with a script.
//! * [`ScriptConfig`]: which script, where it runs, and what it promises.
//! * [`plugin`]: the libraries.

mod answer;
mod backend;
mod call;
mod check;
mod config;
mod error;
pub mod plugin;
mod wiring;
mod words;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use backend::ScriptBackend;
pub use config::{ScriptConfig, ScriptNet};
pub use plugin::{PluginBackend, PluginConfig, PluginError};

/// Locks a mutex. A panic of another thread that held it leaves nothing half done here, so its poison means nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
