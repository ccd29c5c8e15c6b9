//! Backends that are somebody else's programs: net-setup scripts, and libraries that are loaded at run time.
//!
//! * [`script`]: the scripts of the original xcluster, unchanged.
//! * [`plugin`]: the libraries.

pub mod plugin;
pub mod script;

pub use plugin::{PluginBackend, PluginConfig, PluginError};
pub use script::{ScriptBackend, ScriptConfig, ScriptNet};
