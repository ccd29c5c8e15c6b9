//! How much memory a node needs to get from its kernel to its first process, and what its root file system is then.

use super::image::{INITRAMFS, ImageError};
use super::kernel_args;
use super::manifest::Manifest;
use super::overlay::Overlay;

/// What a kernel needs beside its own code and data to get to the first process. Measured: with Debian's kernel of 46 MB
/// and an initramfs of 21 MB that unpacks to 28, guests of 120 MiB boot and guests of 116 MiB do not.
const KERNEL_WORK: u64 = 24 << 20;

/// What of a guest's memory is taken while the kernel unpacks the initramfs, in bytes.
///
/// That is the worst moment: the archive and all that was in it are there at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footprint {
    kernel: u64,
    archive: u64,
    files: u64,
}

impl Footprint {
    /// Of a built image with overlays.
    pub(super) fn of(manifest: &Manifest, overlays: &[Overlay]) -> Self {
        let archive = manifest.files.iter().find(|file| file.name == INITRAMFS).map_or(0, |file| file.size);
        let overlays: u64 = overlays.iter().map(|overlay| overlay.to_cpio().len() as u64).sum();
        Self { kernel: manifest.kernel_memory, archive: archive + overlays, files: manifest.unpacked + overlays }
    }

    /// The argument by which a kernel with so many MiB of memory gets a root that all files fit into; none if its own
    /// choice will do.
    ///
    /// By itself a kernel takes a tmpfs, which must not grow over half of what the archive leaves; what does not fit is
    /// left out without a word. It is worth having where it is large enough, as programs that fill it later get an error.
    /// A ramfs takes what there is.
    pub(crate) fn root(&self, memory: u32) -> Result<Option<&'static str>, ImageError> {
        let needed = mebibytes(self.kernel + KERNEL_WORK + self.archive + self.files);
        if u64::from(memory) >= mebibytes(self.kernel + self.archive + 2 * self.files) {
            Ok(None)
        } else if u64::from(memory) >= needed {
            Ok(Some(kernel_args::RAMFS))
        } else {
            Err(ImageError::Memory { memory, needed })
        }
    }
}

/// The memory of which so many bytes can be had: the kernel keeps books on each page, in a sixtieth of all.
fn mebibytes(bytes: u64) -> u64 {
    (bytes * 61 / 60).div_ceil(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The guest that was measured, with overlays of so many MiB.
    fn with_overlays(size: u64) -> Footprint {
        let overlays = size << 20;
        Footprint { kernel: 46_294_580, archive: 20_802_632 + overlays, files: 28_242_828 + overlays }
    }

    #[test]
    fn a_root_is_as_measured() {
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
    fn who_has_too_little_is_told_how_much_is_needed() {
        let error = with_overlays(20).root(128).unwrap_err();
        let text = "128 MiB of memory are too little for the guest and its overlays, which need 158 MiB to boot";
        assert_eq!(error.to_string(), text);
        assert_eq!(error.hint().unwrap(), "give the nodes at least 158 MiB (`--mem 158`)");
    }
}
