//! Whether a file can be a disk that boots, seen by how it begins. What is on the disk is not looked into.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// How much of a file is looked at: the first sector.
const SECTOR: usize = 512;

/// What formats that QEMU reads begin with: qcow and qcow2, VMDK (two kinds and its text), VHDX, QED, Parallels (two), VHD.
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

/// Where VirtualBox's images have their number, and the number.
const VDI: (usize, [u8; 4]) = (64, [0x7f, 0x10, 0xda, 0xbe]);

/// Where a disk without a format has the mark of its boot sector, and the mark. One with a GPT has it too.
const BOOT_SECTOR: (usize, [u8; 2]) = (510, [0x55, 0xaa]);

/// Why a file cannot be a disk that boots.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiskError {
    /// It cannot be read.
    #[error("cannot read the disk image `{}`", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// Nothing could boot from it: a guest would wait until its deadline.
    #[error(
        "`{}` is no disk image: it has no format that QEMU knows, and as a raw disk it has no boot sector",
        .path.display()
    )]
    NoDisk {
        /// The file.
        path: PathBuf,
    },
}

/// Looks whether a file can be a disk that boots.
///
/// # Errors
/// It cannot be read, or nothing could boot from it.
pub fn check(path: &Path) -> Result<(), DiskError> {
    let failed = |source| DiskError::Io { path: path.to_owned(), source };
    let mut sector = [0; SECTOR];
    let mut file = File::open(path).map_err(failed)?;
    match file.read_exact(&mut sector) {
        Ok(()) => {}
        // What is not there is as if it were zero.
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
    fn what_a_disk_begins_with_is_known() {
        assert_eq!(check_bytes(b"QFI\xfb\0\0\0\x03"), Ok(()));
        let mut raw = [0; 1024];
        raw[510..512].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(check_bytes(&raw), Ok(()));
        let mut vdi = [0; 512];
        vdi[64..68].copy_from_slice(&[0x7f, 0x10, 0xda, 0xbe]);
        assert_eq!(check_bytes(&vdi), Ok(()));
    }

    #[test]
    fn what_nothing_can_boot_from_is_refused() {
        let refusal =
            "`it` is no disk image: it has no format that QEMU knows, and as a raw disk it has no boot sector";
        for bytes in [&b""[..], b"[package]\nname = \"x\"\n", &[0; 4096]] {
            assert_eq!(check_bytes(bytes), Err(refusal.to_owned()));
        }
        assert!(matches!(check(Path::new("/nonexistent")), Err(DiskError::Io { .. })));
    }
}
