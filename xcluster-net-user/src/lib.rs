#![doc = include_str!("../README.md")]

mod backend;
mod choose;
mod config;
mod error;
mod holder;
mod wanted;
mod words;

pub use backend::UserBackend;
pub use config::UserConfig;
pub use error::{BadVariable, BadVariables};
