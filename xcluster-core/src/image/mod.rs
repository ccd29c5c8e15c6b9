//! The image that a node boots: a kernel and an initramfs, built from the distribution's packages or given by the user, and the
//! overlays that are put over it. This module knows no QEMU, no backend and no cluster.
//!
//! A building block: its interface may change between minor versions.
//!
//! Start at [`standard_image`]. How a guest is made:
//!
//! | File | Content |
//! |---|---|
//! | `package_set` | which packages, programs and modules make the standard image: data |
//! | `packages` | downloads and unpacks the packages with apt and dpkg |
//! | `libraries`, `modules`, `kernel` | select what the image needs from the packages, with its dependencies |
//! | `lazy_programs` | programs that stay compressed until one of them is run |
//! | `rootfs_base` | our own files: init scripts and configuration |
//! | `build`, `initramfs` | put everything into one reproducible archive |
//! | `standard_image` | builds the image, or takes it from the cache |
//! | `cache`, `manifest` | where built images are kept, and how damage is noticed |
//! | `boot_image` | [`Image`]: the result, or files of the user |
//! | `footprint` | how much memory a node needs for an image |
//! | `overlay` | [`Overlay`]: a user's files, or generated ones |
//! | `topology_overlay` | the overlay that configures the nets of a topology |
//! | [`kernel_args`] | the kernel's command line |
//!
//! `elf_file`, `compress` and `subprocess` are the tools for this.

mod boot_image;
mod build;
mod cache;
mod compress;
mod elf_file;
mod footprint;
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
mod rootfs_base;
mod standard_image;
mod subprocess;
pub(crate) mod topology_overlay;

pub use boot_image::{Image, ImageError};
pub use build::BuildError;
pub use cache::{Cache, CacheError};
pub(crate) use footprint::Footprint;
pub use footprint::NotEnoughMemory;
pub use kernel_args::KERNEL_ARGS;
pub use libraries::MissingLibrary;
pub use manifest::{Damage, Manifest, Record};
pub use overlay::{Overlay, OverlayError, OverlayFile};
pub use packages::{BUILD_PROGRAMS, Package, PackageError};
pub use rootfs_base::AGENT;
pub use standard_image::{cached_image, newest_image, standard_image};
pub use subprocess::SubprocessError;
