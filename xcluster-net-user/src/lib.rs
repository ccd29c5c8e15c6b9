#![doc = include_str!("../README.md")]

mod allocation;
mod backend;
mod config;
mod error;
mod holder;
mod requested_ports;
mod words;

pub use backend::UserBackend;
pub use config::UserConfig;
pub use error::{BadVariable, BadVariables};
