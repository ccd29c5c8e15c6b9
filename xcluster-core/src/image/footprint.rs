//! How much memory a node needs to boot to its first process, and which kind of root file system fits into it.

use super::kernel_args;
use super::manifest::{INITRAMFS, Manifest};
use super::overlay::Overlay;
use crate::error_chain;

/// The memory that a kernel needs besides its code and data until the first process runs, in bytes. Measured: with Debian's
/// kernel of 46 MB and an initramfs of 21 MB that unpacks to 28 MB, guests of 120 MiB boot and guests of 116 MiB do not.
const KERNEL_WORK: u64 = 24 << 20;

/// A node has too little memory for its image and overlays. Its kernel would unpack the initramfs until no memory is left,
/// and panic.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{memory} MiB of memory is too little for the guest and its overlays: they need {needed} MiB to boot")]
#[non_exhaustive]
pub struct NotEnoughMemory {
    /// The memory of the node, in MiB.
    pub memory: u32,
    /// The memory that it needs, in MiB.
    pub needed: u64,
}

error_chain::readable_debug!(NotEnoughMemory);

/// The memory that is in use while the kernel unpacks the initramfs, in bytes. This is the peak of a boot: the archive and
/// its unpacked files exist at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footprint {
    kernel: u64,
    archive: u64,
    files: u64,
}

impl Footprint {
    /// Returns the footprint of a built image with overlays.
    pub(super) fn of(manifest: &Manifest, overlays: &[Overlay]) -> Self {
        let archive = manifest.files.iter().find(|file| file.name == INITRAMFS).map_or(0, |file| file.size);
        let overlays: u64 = overlays.iter().map(|overlay| overlay.to_cpio().len() as u64).sum();
        Self { kernel: manifest.kernel_memory, archive: archive + overlays, files: manifest.unpacked + overlays }
    }

    /// Returns the kernel argument that makes the root file system large enough in a node with `memory` MiB; `None` if the
    /// kernel's default is large enough.
    ///
    /// The default is a tmpfs. It is limited to half of the memory that the archive leaves, and the kernel silently skips
    /// files that do not fit. It is preferred where it is large enough, because programs that fill it later get an error. A
    /// ramfs has no limit.
    ///
    /// # Errors
    /// Neither kind of root fits into the memory.
    pub(crate) fn root(&self, memory: u32) -> Result<Option<&'static str>, NotEnoughMemory> {
        let needed = mebibytes(self.kernel + KERNEL_WORK + self.archive + self.files);
        if u64::from(memory) >= mebibytes(self.kernel + self.archive + 2 * self.files) {
            Ok(None)
        } else if u64::from(memory) >= needed {
            Ok(Some(kernel_args::RAMFS))
        } else {
            Err(NotEnoughMemory { memory, needed })
        }
    }
}

/// Returns how many MiB of memory a node needs so that `bytes` can be used: the kernel takes a sixtieth of all
/// memory for its records of pages.
fn mebibytes(bytes: u64) -> u64 {
    (bytes * 61 / 60).div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ImageError;

    /// The guest that was measured, with overlays of so many MiB.
    fn with_overlays(size: u64) -> Footprint {
        let overlays = size << 20;
        Footprint { kernel: 46_294_580, archive: 20_802_632 + overlays, files: 28_242_828 + overlays }
    }

    #[test]
    fn the_kind_of_root_agrees_with_the_measurements() {
        for (memory, overlays, root) in [
            (128, 0, Some(None)),
            (128, 2, Some(None)),
            (128, 4, Some(Some(kernel_args::RAMFS))),
            (128, 10, None),
            (256, 40, Some(None)),
            (256, 50, Some(Some(kernel_args::RAMFS))),
            (256, 70, None),
            (116, 0, None),
        ] {
            assert_eq!(with_overlays(overlays).root(memory).ok(), root, "{memory} MiB with {overlays} MiB");
        }
    }

    #[test]
    fn too_little_memory_is_an_error_that_says_how_much_is_needed() {
        let error = ImageError::from(with_overlays(20).root(128).unwrap_err());
        let text = "128 MiB of memory is too little for the guest and its overlays: they need 158 MiB to boot";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.hint().unwrap(), "give the nodes at least 158 MiB (`--mem 158`)");
    }
}
