#![doc = include_str!("../README.md")]

mod backend;
mod bridge;
mod config;
mod error;
mod link_owner;
pub mod prepared;
mod probe;
mod qemu_args;
mod state;
mod tap;
mod vhost;

pub use backend::BridgeBackend;
pub use config::{BridgeConfig, Vhost};
pub use link_owner::PREPARED_MARK;
