#![doc = include_str!("../README.md")]

mod backend;
mod bridge;
mod config;
mod error;
mod names;

pub mod prepared;
mod probe;
mod qemu_args;
mod state;
mod tap;
mod vhost;

pub use backend::BridgeBackend;
pub use config::{BridgeConfig, Vhost};
pub use names::PREPARED_MARK;
