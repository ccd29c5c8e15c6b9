//! Backends that other people's programs implement.
//!
//! * `script` (feature `script`): the net-setup scripts of the original xcluster, unchanged.
//! * `plugin` (feature `plugin`): libraries that are loaded at run time.

#[cfg(feature = "plugin")]
pub mod plugin;
#[cfg(feature = "script")]
pub mod script;

use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(feature = "plugin")]
pub use plugin::{PluginBackend, PluginConfig, PluginError};
#[cfg(feature = "script")]
pub use script::{ScriptBackend, ScriptConfig, ScriptNet};

/// Locks a mutex. Its poison is ignored: a thread that panics while it holds one of these locks leaves no half-made change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
