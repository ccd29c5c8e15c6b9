#![doc = include_str!("../README.md")]

mod backend;
mod check;
mod config;
mod error;
mod flows;
mod gc;
mod names;
mod net;
mod port;
mod probe;
mod programs;
mod qemu_args;
mod row_owner;
mod state;
mod switch;
#[cfg(feature = "testing")]
pub mod testing;
mod tunnel;
mod vsctl_commands;

pub use backend::OvsBackend;
pub use config::{FailMode, Instance, OvsConfig, OvsNet, OvsPort, Tunnel, TunnelKind};
pub use gc::gc;
