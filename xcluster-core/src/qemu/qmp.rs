//! QEMU's monitor (QMP): commands with their answers, and events.

mod client;
mod commands;
mod error;
#[cfg(test)]
mod tests;

pub use client::{Event, Events, Qmp, Version};
pub use error::QmpError;
