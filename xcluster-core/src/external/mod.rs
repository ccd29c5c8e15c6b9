//! Backends that are somebody else's programs: net-setup scripts, and libraries that are loaded at run time.
//!
//! * [`script`]: the scripts of the original xcluster, unchanged.
//! * [`plugin`]: the libraries.

pub mod plugin;
pub mod script;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use plugin::{PluginBackend, PluginConfig, PluginError};
pub use script::{ScriptBackend, ScriptConfig, ScriptNet};

/// Locks a mutex. A panic of another thread that held it leaves nothing half done here, so its poison means nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
