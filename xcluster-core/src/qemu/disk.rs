//! Checks whether a file can be a bootable disk, by its first sector.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::error_chain;

/// The length of a sector in bytes.
const SECTOR: usize = 512;

/// The magic numbers of the formats that QEMU reads: qcow and qcow2, VMDK (two kinds and its text), VHDX, QED, Parallels (two),
/// VHD.
const FORMATS: [&[u8]; 9] = [
    b"QFI\xfb",
    b"KDMV",
    b"COWD",
    b"# Disk DescriptorFile",
    b"vhdxfile",
    b"QED\0",
    b"WithoutFreeSpace",
    b"WithouFreSpacExt",
    b"conectix",
];

/// The offset of the magic number of VirtualBox's images, and the number.
const VDI: (usize, [u8; 4]) = (64, [0x7f, 0x10, 0xda, 0xbe]);

/// The offset of the boot signature of a raw disk, and the signature. Disks with a GPT have it too.
const BOOT_SECTOR: (usize, [u8; 2]) = (510, [0x55, 0xaa]);

/// Why a file cannot be a bootable disk.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// The file cannot be read.
    #[error("cannot read the disk image `{}`", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// No node could boot from the file. Without this check, a node would wait until its deadline.
    #[error(
        "`{}` is not a bootable disk image: it has no format that QEMU reads, and as a raw disk it has no boot sector",
        .path.display()
    )]
    NoDisk {
        /// The file.
        path: PathBuf,
    },
}

error_chain::readable_debug!(DiskError);

/// Checks whether a file can be a bootable disk.
///
/// # Errors
/// The file cannot be read, or no node could boot from it.
pub fn check(path: &Path) -> Result<(), DiskError> {
    let failed = |source| DiskError::Io { path: path.to_owned(), source };
    let mut sector = [0; SECTOR];
    let mut file = File::open(path).map_err(failed)?;
    match file.read_exact(&mut sector) {
        Ok(()) => {}
        // The rest of a short file counts as zeros.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
        Err(error) => return Err(failed(error)),
    }
    if boots(&sector) { Ok(()) } else { Err(DiskError::NoDisk { path: path.to_owned() }) }
}

fn boots(sector: &[u8; SECTOR]) -> bool {
    FORMATS.iter().any(|format| sector.starts_with(format))
        || sector[VDI.0..].starts_with(&VDI.1)
        || sector[BOOT_SECTOR.0..] == BOOT_SECTOR.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_bytes(bytes: &[u8]) -> Result<(), String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let name = file.path().display().to_string();
        check(file.path()).map_err(|error| error.to_string().replace(&name, "it"))
    }

    #[test]
    fn bootable_disks_are_recognised_by_their_first_sector() {
        assert_eq!(check_bytes(b"QFI\xfb\0\0\0\x03"), Ok(()));
        let mut raw = [0; 1024];
        raw[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(check_bytes(&raw), Ok(()));
        let mut vdi = [0; 512];
        vdi[64..68].copy_from_slice(&[0x7f, 0x10, 0xda, 0xbe]);
        assert_eq!(check_bytes(&vdi), Ok(()));
    }

    #[test]
    fn files_that_cannot_be_booted_are_refused() {
        let refusal = "`it` is not a bootable disk image: it has no format that QEMU reads, and as a raw disk it has no boot \
                       sector";
        for bytes in [&b""[..], b"[package]\nname = \"x\"\n", &[0; 4096]] {
            assert_eq!(check_bytes(bytes), Err(refusal.to_owned()));
        }
        assert!(matches!(check(Path::new("/nonexistent")), Err(DiskError::Io { .. })));
    }
}
