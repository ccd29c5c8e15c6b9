#![doc = include_str!("../README.md")]

mod c_plugin;

pub use c_plugin::c_plugin;
