//! Networks that somebody else's program wires: the net-setup scripts of the shell version, unchanged. Knows nothing of
//! what a script does.
//!
//! * [`ScriptBackend`]: start here; its documentation is the contract with a script.
//! * [`ScriptConfig`]: which script, where it runs, and what it promises.

mod answer;
mod backend;
mod call;
mod check;
mod config;
mod error;
mod wiring;
mod words;

pub use backend::ScriptBackend;
pub use config::{ScriptConfig, ScriptNet};
