#![doc = include_str!("../README.md")]

mod backend;
mod check;
mod config;
mod error;
mod flows;
mod names;
mod net;
mod orders;
mod port;
mod probe;
mod programs;
mod qemu_args;
mod rows;
mod state;
mod sweep;
mod switch;
#[cfg(feature = "testing")]
pub mod testing;
mod tunnel;

pub use backend::OvsBackend;
pub use config::{FailMode, Instance, OvsConfig, OvsNet, OvsPort, Tunnel, TunnelKind};
pub use sweep::sweep;
