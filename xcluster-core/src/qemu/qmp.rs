//! QEMU's monitor: commands with their answers, and events. Which commands make a VM do what is wanted is decided elsewhere.

mod client;
mod commands;
mod error;
#[cfg(test)]
mod tests;

pub use client::{Event, Events, Qmp};
pub use commands::Version;
pub use error::QmpError;
