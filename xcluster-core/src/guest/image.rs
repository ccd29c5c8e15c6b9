//! What a node boots: a kernel and an initramfs, the standard ones or the user's. Overlays are put behind the initramfs, one archive after the other.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::build::BuildError;
use super::cache::{Cache, CacheError, Entry};
use super::footprint::Footprint;
use super::initramfs::ALIGNMENT;
use super::manifest::Manifest;
use super::overlay::Overlay;
use super::packages::PackageError;
use super::standard_image::{StandardImage, from_packages};

pub(super) const KERNEL: &str = "kernel";
pub(super) const INITRAMFS: &str = "initramfs";

/// What a node boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The kernel, a `bzImage` or an ELF file that QEMU can start.
    pub kernel: PathBuf,
    /// What the kernel unpacks as its first root file system.
    pub initramfs: Option<PathBuf>,
    /// A name that changes whenever the content does; none for given files.
    pub key: Option<String>,
    /// What it consists of; none for given files.
    pub manifest: Option<Manifest>,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The packages cannot be had.
    #[error(transparent)]
    Packages(#[from] PackageError),
    /// They do not make a guest.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Nothing can be kept.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The kernel would unpack the initramfs until there is no memory left, and panic.
    #[error("{memory} MiB of memory are too little for the guest and its overlays, which need {needed} MiB to boot")]
    Memory {
        /// What a node is given, in MiB.
        memory: u32,
        /// What it needs, in MiB.
        needed: u64,
    },
    /// A file that the user gave.
    #[error("cannot use `{}` as {what}", .path.display())]
    Given {
        /// What it was given for.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl ImageError {
    /// What a user can do about it, as commands or options where there are some.
    pub fn hint(&self) -> Option<String> {
        let given = "give a kernel and an initramfs of your own (`--kernel FILE --initrd FILE`)";
        if is_full(self) {
            return Some("make room, or keep guests elsewhere: `export XDG_CACHE_HOME=FOLDER`".to_owned());
        }
        match self {
            Self::Packages(PackageError::NoApt { .. } | PackageError::Architecture(_)) => Some(given.to_owned()),
            Self::Packages(PackageError::Unknown(_)) => Some(format!(
                "`sudo apt-get update` (on Ubuntu with the component `universe`: `sudo add-apt-repository universe`), or {given}"
            )),
            Self::Packages(PackageError::Download(_)) => {
                Some(format!("`sudo apt-get update`, in case the lists are older than the mirror, or {given}"))
            }
            Self::Memory { needed, .. } => Some(format!("give the nodes at least {needed} MiB (`--mem {needed}`)")),
            _ => None,
        }
    }
}

/// Whether no space was left, for us or for a program that we ran.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let full = |error: &(dyn std::error::Error + 'static)| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::StorageFull)
            || error.to_string().contains("No space left on device")
    };
    std::iter::successors(Some(error), |error| error.source()).any(full)
}

impl Image {
    /// The guest of xcluster with this agent, from the cache if it is there, else built from packages.
    ///
    /// A cached one is used whatever versions the distribution has by now, so that it serves offline and two runs of a
    /// test see the same kernel; [`Image::newest`] takes the newer ones. Blocks, for about 20 s when it builds.
    /// `progress` is told what takes long.
    pub fn standard_image(cache: &Cache, agent: &[u8], progress: &dyn Fn(&str)) -> Result<Self, ImageError> {
        StandardImage { cache, agent, progress, make: &from_packages }.image()
    }

    /// As [`Image::standard_image`], if it is in the cache and need not be built.
    pub fn cached(cache: &Cache, agent: &[u8]) -> Result<Option<Self>, ImageError> {
        StandardImage { cache, agent, progress: &|_| {}, make: &from_packages }.built()
    }

    /// As [`Image::standard_image`], but with the versions that the distribution has now.
    pub fn newest(cache: &Cache, agent: &[u8], progress: &dyn Fn(&str)) -> Result<Self, ImageError> {
        StandardImage { cache, agent, progress, make: &from_packages }.newest()
    }

    /// Files of the user's own. Whether a node boots from them shows when it does; here they must be readable.
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

    /// Writes the initramfs with overlays behind it, the later ones over the earlier.
    pub fn write_initramfs(&self, overlays: &[Overlay], to: &mut File) -> io::Result<()> {
        let mut length = 0;
        if let Some(initramfs) = &self.initramfs {
            length = io::copy(&mut File::open(initramfs)?, to)?;
        }
        for overlay in overlays {
            // The kernel skips zeros between archives. An initramfs of the user's own that is packed with lz4 needs four
            // to end.
            let zeros = length.next_multiple_of(ALIGNMENT as u64) - length + ALIGNMENT as u64;
            let archive = overlay.to_cpio();
            to.write_all(&vec![0; zeros as usize])?;
            to.write_all(archive)?;
            length += zeros + archive.len() as u64;
        }
        Ok(())
    }

    /// How much memory a node needs with these overlays. Of given files that cannot be told.
    pub(crate) fn footprint(&self, overlays: &[Overlay]) -> Option<Footprint> {
        Some(Footprint::of(self.manifest.as_ref()?, overlays))
    }

    /// An entry of the cache.
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
    use crate::guest::OverlayFile;

    #[test]
    fn given_files_must_be_there() {
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
    fn overlays_follow_the_initramfs_where_the_kernel_looks() {
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
    fn who_has_no_apt_is_told_what_to_give() {
        let error = ImageError::from(PackageError::NoApt { program: "apt-cache" });
        assert!(error.to_string().contains("`apt-cache` is not there"));
        assert!(error.hint().unwrap().contains("--kernel FILE"));
    }

    #[test]
    fn who_has_no_space_is_told_where_it_is_missing() {
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
