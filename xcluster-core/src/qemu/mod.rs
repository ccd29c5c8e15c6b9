//! QEMU: its command line, its process, its monitor, and whether it can use KVM here. Knows nothing of clusters.
//!
//! A building block: its interface may change between minor versions.
//!
//! * [`command`]: the only place that spells QEMU's options; pure.
//! * [`version`]: which QEMU there is.
//! * [`disk`]: whether a file can be a disk that boots.
//! * [`accel`]: KVM or not, found out by running a guest.
//! * [`process`]: a QEMU that dies with the thread that started it.
//! * [`qmp`]: what it is told over its monitor; `json_lines` is the way there, and to qemu-ga.

pub mod accel;
pub mod command;
pub mod disk;
pub mod json_lines;
pub mod process;
pub mod qmp;
pub mod version;
