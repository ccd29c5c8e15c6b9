//! The kernel and initramfs that a node boots, our own or the user's. Overlays are further archives behind the initramfs.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::build::BuildError;
use super::cache::{CacheError, Entry};
use super::footprint::{Footprint, NotEnoughMemory};
use super::initramfs::ALIGNMENT;
use super::manifest::{INITRAMFS, KERNEL, Manifest};
use super::overlay::Overlay;
use super::packages::PackageError;
use crate::error_chain;

/// A kernel and an initramfs, ready to boot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// The kernel: a `bzImage`, or an ELF file that QEMU can start.
    pub kernel: PathBuf,
    /// The archive that the kernel unpacks as its first root file system.
    pub initramfs: Option<PathBuf>,
    /// A name that changes whenever the content changes; `None` for files of the user.
    pub key: Option<String>,
    /// The content of a built image; `None` for files of the user.
    pub manifest: Option<Manifest>,
}

/// Why an image cannot be built or used.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The packages cannot be downloaded or unpacked.
    #[error(transparent)]
    Packages(#[from] PackageError),
    /// The packages do not contain what the image needs.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The image and its overlays do not fit into a node's memory.
    #[error(transparent)]
    Memory(#[from] NotEnoughMemory),
    /// A file that the user gave cannot be used.
    #[error("cannot use `{}` as {what}", .path.display())]
    Given {
        /// What the file was given for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

error_chain::readable_debug!(ImageError);

impl ImageError {
    /// What a user can do about it, with a command or an option where there is one.
    pub fn hint(&self) -> Option<String> {
        let given = "use your own kernel and initramfs (`--kernel FILE --initrd FILE`)";
        if is_full(self) {
            return Some("free disk space, or use another folder: `export XDG_CACHE_HOME=FOLDER`".to_owned());
        }
        match self {
            Self::Packages(PackageError::NoApt { .. } | PackageError::Architecture(_)) => Some(given.to_owned()),
            Self::Packages(PackageError::Unknown(_)) => Some(format!(
                "`sudo apt-get update` (on Ubuntu with the component `universe`: `sudo add-apt-repository universe`), or {given}"
            )),
            Self::Packages(PackageError::Download(_)) => {
                Some(format!("`sudo apt-get update`, in case the lists are older than the mirror, or {given}"))
            }
            Self::Memory(NotEnoughMemory { needed, .. }) => {
                Some(format!("give the nodes at least {needed} MiB (`--mem {needed}`)"))
            }
            _ => None,
        }
    }
}

/// Whether we or a program that we ran found no space left on the device.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let full = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull)
            || error.to_string().contains("No space left on device")
    };
    std::iter::successors(Some(error), |error| error.source()).any(full)
}

impl Image {
    /// Returns an image of the user's own files. They must be readable; whether a node can boot from them is not checked.
    ///
    /// # Errors
    /// A file cannot be read, or is not a regular file.
    pub fn given(kernel: &Path, initramfs: Option<&Path>) -> Result<Self, ImageError> {
        let readable = |what, path: &Path| {
            let file =
                File::open(path).and_then(|file| file.metadata()).and_then(|metadata| match metadata.is_file() {
                    true => Ok(()),
                    false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file")),
                });
            file.map_err(|source| ImageError::Given { what, path: path.to_owned(), source })
        };
        readable("a kernel", kernel)?;
        if let Some(initramfs) = initramfs {
            readable("an initramfs", initramfs)?;
        }
        Ok(Self { kernel: kernel.to_owned(), initramfs: initramfs.map(Path::to_owned), key: None, manifest: None })
    }

    /// Writes the initramfs and the overlays behind it. A file of a later overlay replaces one of an earlier overlay.
    ///
    /// # Errors
    /// The initramfs cannot be read, or `to` cannot be written.
    pub fn write_initramfs(&self, overlays: &[Overlay], to: &mut File) -> io::Result<()> {
        let mut length = 0;
        if let Some(initramfs) = &self.initramfs {
            length = io::copy(&mut File::open(initramfs)?, to)?;
        }
        for overlay in overlays {
            // The kernel skips zeros between archives. A user's initramfs that is packed with lz4 needs four zeros at its
            // end.
            let zeros = length.next_multiple_of(ALIGNMENT as u64) - length + ALIGNMENT as u64;
            let archive = overlay.to_cpio();
            to.write_all(&vec![0; zeros as usize])?;
            to.write_all(archive)?;
            length += zeros + archive.len() as u64;
        }
        Ok(())
    }

    /// Returns the memory that a node needs with these overlays; `None` for files of the user, where it is unknown.
    pub(crate) fn footprint(&self, overlays: &[Overlay]) -> Option<Footprint> {
        Some(Footprint::of(self.manifest.as_ref()?, overlays))
    }

    /// Returns the image in an entry of the cache.
    pub(super) fn of(entry: Entry) -> Self {
        Self {
            kernel: entry.folder.join(KERNEL),
            initramfs: Some(entry.folder.join(INITRAMFS)),
            key: Some(entry.manifest.key()),
            manifest: Some(entry.manifest),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::subprocess::SubprocessError;
    use super::*;
    use crate::image::OverlayFile;

    #[test]
    fn files_of_the_user_must_exist() {
        let folder = tempfile::tempdir().unwrap();
        let (kernel, initramfs) = (folder.path().join("vmlinuz"), folder.path().join("initrd"));
        fs::write(&kernel, "kernel").unwrap();
        let image = Image::given(&kernel, None).unwrap();
        assert_eq!((image.kernel.as_path(), image.initramfs), (kernel.as_path(), None));
        let error = Image::given(&kernel, Some(&initramfs)).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot use `{}` as an initramfs", initramfs.display()));
        assert!(Image::given(folder.path(), None).is_err());
    }

    #[test]
    fn overlays_follow_the_initramfs_at_aligned_offsets() {
        let folder = tempfile::tempdir().unwrap();
        let (kernel, initramfs) = (folder.path().join("vmlinuz"), folder.path().join("initrd"));
        fs::write(&kernel, "kernel").unwrap();
        fs::write(&initramfs, "odd").unwrap();
        let file = OverlayFile { path: "etc/motd".into(), mode: 0o644, content: b"hello".to_vec() };
        let overlay = Overlay::from_files([file]).unwrap();
        let mut written = tempfile::tempfile().unwrap();
        let image = Image::given(&kernel, Some(&initramfs)).unwrap();
        image.write_initramfs(&[overlay.clone(), overlay.clone()], &mut written).unwrap();

        let mut bytes = Vec::new();
        io::Seek::rewind(&mut written).unwrap();
        io::Read::read_to_end(&mut written, &mut bytes).unwrap();
        let archives = [b"odd".as_slice(), &[0; 5], overlay.to_cpio(), &[0; 4], overlay.to_cpio()];
        assert_eq!(bytes, archives.concat());
    }

    #[test]
    fn without_apt_the_hint_names_the_options_for_own_files() {
        let error = ImageError::from(PackageError::NoApt { program: "apt-cache" });
        assert!(error.to_string().contains("`apt-cache` not found"));
        assert!(error.hint().unwrap().contains("--kernel FILE"));
    }

    #[test]
    fn a_full_disk_gives_a_hint_that_names_the_cache_folder() {
        let source = io::Error::from(io::ErrorKind::StorageFull);
        let ours = PackageError::Io { path: "/cache/xcluster/downloads".into(), source };
        let failed = |stderr: &str| SubprocessError::Failed {
            program: "dpkg-deb".to_owned(),
            status: std::process::ExitStatus::default(),
            stderr: stderr.to_owned(),
        };
        let theirs = PackageError::Download(failed("tar: ./lib: Cannot write: No space left on device"));
        for error in [ours, theirs] {
            assert!(ImageError::from(error).hint().unwrap().contains("XDG_CACHE_HOME"));
        }
        let other = PackageError::Download(failed("404 Not Found"));
        assert!(ImageError::from(other).hint().unwrap().contains("apt-get update"));
    }
}
