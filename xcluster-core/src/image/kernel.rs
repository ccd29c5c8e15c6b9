//! Unpacks a kernel image, because an unpacked one boots faster.

use super::compress::unpack;
use super::elf_file;

/// Offsets in the header of a `bzImage`, from the boot protocol of x86.
mod header {
    pub(super) const SETUP_SECTORS: usize = 0x1f1;
    pub(super) const MAGIC: usize = 0x202;
    pub(super) const PAYLOAD_OFFSET: usize = 0x248;
    pub(super) const PAYLOAD_LENGTH: usize = 0x24c;
    pub(super) const INIT_SIZE: usize = 0x260;
}

/// Returns the kernel within a `bzImage`, if QEMU can start it directly (by PVH).
///
/// Otherwise the guest unpacks the kernel with emulated instructions, which takes 0.2 s of every boot under TCG. A kernel with
/// an unknown compression, or without PVH, stays a `bzImage`.
pub(super) fn uncompressed(image: &[u8]) -> Option<Vec<u8>> {
    if image.get(header::MAGIC..)?.get(..4)? != b"HdrS" {
        return None;
    }
    // The boot protocol says that 0 means 4 sectors.
    let sectors = match *image.get(header::SETUP_SECTORS)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let begin = (sectors + 1) * 512 + number(image, header::PAYLOAD_OFFSET)?;
    let payload = image.get(begin..)?.get(..number(image, header::PAYLOAD_LENGTH)?)?;
    let kernel = unpack(payload.to_vec()).ok()?;
    elf_file::is_bootable(&kernel).then_some(kernel)
}

/// Returns the memory that a kernel itself takes in a guest, in bytes, from its header; 0 if the header does not have it.
pub(super) fn memory(kernel: &[u8]) -> u64 {
    elf_file::memory(kernel).or_else(|| u64::try_from(number(kernel, header::INIT_SIZE)?).ok()).unwrap_or(0)
}

fn number(image: &[u8], at: usize) -> Option<usize> {
    let bytes = image.get(at..)?.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::compress::pack_lz4;

    /// The smallest ELF file with one segment of notes.
    fn kernel(note: u32) -> Vec<u8> {
        let mut elf = vec![0; 64 + 56];
        elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        elf[16] = 2; // executable
        elf[18] = 62; // x86-64
        elf[20] = 1;
        elf[32] = 64; // where the segments are described
        elf[52] = 64;
        elf[54] = 56;
        elf[56] = 1; // how many there are
        elf[64] = 4; // notes
        elf[64 + 8] = 120; // where
        elf[64 + 32] = 20; // how long
        elf[64 + 48] = 4;
        for number in [4, 4, note, u32::from_le_bytes(*b"Xen\0"), 0x100_0000] {
            elf.extend_from_slice(&number.to_le_bytes());
        }
        elf
    }

    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * 512 + 16];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        image.extend_from_slice(payload);
        image
    }

    #[test]
    fn the_kernel_within_an_image_is_unpacked() {
        assert_eq!(uncompressed(&image(&pack_lz4(&kernel(18)))), Some(kernel(18)));
    }

    #[test]
    fn an_image_stays_packed_if_qemu_cannot_start_its_kernel() {
        assert_eq!(uncompressed(&image(&pack_lz4(&kernel(17)))), None);
        assert_eq!(uncompressed(&image(b"packed in another way")), None);
        assert_eq!(uncompressed(&image(&kernel(18))[..1040]), None);
        assert_eq!(uncompressed(b"short"), None);
    }
}
