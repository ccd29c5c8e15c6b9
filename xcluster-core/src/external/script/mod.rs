//! Networks that a net-setup script sets up: the scripts of the original xcluster, unchanged.
//!
//! * [`ScriptBackend`]: start here; its documentation is the contract with a script.
//! * [`ScriptConfig`]: which script, where it runs, and what it promises.

mod backend;
mod check;
mod config;
mod error;
mod process;
mod qemu_args;
mod script_output;
mod state;

pub use backend::ScriptBackend;
pub use config::{ScriptConfig, ScriptNet};
