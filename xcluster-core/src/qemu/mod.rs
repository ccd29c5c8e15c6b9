//! QEMU: its command line, its process, its monitor, and whether it can use KVM on this host. This module knows no cluster.
//!
//! A building block: its interface may change between minor versions.
//!
//! * [`command`]: QEMU's command line; pure.
//! * [`version`]: finds QEMU and its version.
//! * [`disk`]: checks whether a file can be a bootable disk.
//! * [`accel`]: chooses KVM or TCG, by running a guest on KVM.
//! * [`process`]: a QEMU process that dies with the thread that started it.
//! * [`qmp`]: the monitor.
//! * [`json_lines`]: the transport of the monitor and of qemu-ga.

pub mod accel;
pub mod command;
pub mod disk;
pub mod json_lines;
pub mod process;
pub mod qmp;
pub mod version;
