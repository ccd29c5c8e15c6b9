#![doc = include_str!("../README.md")]

mod allocation;
mod backend;
mod config;
mod error;
mod holder;
mod qemu_args;
mod requested_ports;

pub use backend::UserBackend;
pub use config::UserConfig;
pub use error::{BadVariable, BadVariables};
