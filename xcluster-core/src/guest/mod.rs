//! What runs in a node, and how to talk to it: a kernel and an initramfs from the distribution's packages or from the
//! user, what is put over it, and the guest's agent. Knows no QEMU, no net backend and no cluster.
//!
//! Start at [`Image::standard_image`]. The way of a guest:
//!
//! | | |
//! |---|---|
//! | `package_set` | which packages, programs and modules make a guest: data |
//! | `packages` | the packages of the package set, downloaded and unpacked by apt and dpkg |
//! | `libraries`, `modules`, `kernel` | what is taken out of them, with all that it depends on |
//! | `lazy_programs` | programs that stay compressed until somebody runs one |
//! | `rootfs_base` | our own files: how a guest comes up |
//! | `initramfs` | all of it as one reproducible archive |
//! | `standard_image` | when any of this is made, and when what is kept serves |
//! | `cache`, `manifest` | where it is kept, and that it is whole |
//! | `footprint` | how much memory a node needs for it |
//! | [`Overlay`] | what is put over it: a user's files, or those generated from a topology |
//! | `topology_overlay` | the overlay that configures the nets of a topology |
//! | [`kernel_args`] | what the kernel is told |
//!
//! And once it runs:
//!
//! | | |
//! |---|---|
//! | [`exec`], [`copy`] | commands and files, for those who use a node |
//! | `agent` | our own guest's agent: its program and the host's end of its channel |
//! | `qga` | qemu-ga, for a user's own image |
//! | `any_agent` | either of them |

pub(crate) mod agent;
mod any_agent;
mod build;
mod cache;
mod compress;
pub mod copy;
mod elf_file;
pub mod exec;
mod footprint;
mod image;
mod initramfs;
mod kernel;
pub mod kernel_args;
mod lazy_programs;
mod libraries;
mod manifest;
mod modules;
mod overlay;
mod package_set;
mod packages;
mod qga;
mod rootfs_base;
mod standard_image;
mod subprocess;
pub(crate) mod topology_overlay;

pub(crate) use agent::protocol::PORT as AGENT_PORT;
pub(crate) use any_agent::AnyAgent;
pub use build::BuildError;
pub use cache::{Cache, CacheError};
pub use copy::Copied;
pub(crate) use footprint::Footprint;
pub use image::{Image, ImageError};
pub use kernel_args::KERNEL_ARGS;
pub use libraries::MissingLibrary;
pub use manifest::{Damage, Manifest, Record};
pub use overlay::{Overlay, OverlayError, OverlayFile};
pub use packages::{BUILD_PROGRAMS, Package, PackageError};
pub use rootfs_base::AGENT;
pub use subprocess::SubprocessError;

/// The virtio port that qemu-ga opens.
pub(crate) const QGA_PORT: &str = "org.qemu.guest_agent.0";

/// The standard guest, built if it is not there yet. Blocks, for minutes if packages must be downloaded.
///
/// # Errors
/// It cannot be built; the error says what is missing.
pub fn standard_image(progress: &dyn Fn(&str)) -> Result<Image, ImageError> {
    Image::standard_image(&Cache::of_user()?, agent::BINARY, progress)
}

/// As [`standard_image()`], if it need not be built.
///
/// # Errors
/// The cache cannot be used.
pub fn cached_image() -> Result<Option<Image>, ImageError> {
    Image::cached(&Cache::of_user()?, agent::BINARY)
}

/// As [`standard_image()`], built anew with the versions that the distribution has now.
///
/// # Errors
/// It cannot be built; the error says what is missing.
pub fn newest_image(progress: &dyn Fn(&str)) -> Result<Image, ImageError> {
    Image::newest(&Cache::of_user()?, agent::BINARY, progress)
}
