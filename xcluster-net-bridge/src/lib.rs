#![doc = include_str!("../README.md")]

mod backend;
mod bridge;
mod config;
mod error;
mod names;

pub mod prepared;
mod probe;
mod tap;
mod vhost;
mod wiring;
mod words;

pub use backend::BridgeBackend;
pub use config::{BridgeConfig, Vhost};
pub use names::PREPARED_MARK;
