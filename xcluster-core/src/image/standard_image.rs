//! Builds the standard image if it is not in the cache. The part from packages is built once and kept; our own files are an
//! archive behind it. A damaged or missing entry is built again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::boot_image::{Image, ImageError};
use super::build::{self, ImageParts};
use super::cache::{Cache, CacheError, Entry, Locked};
use super::compress::pack_lz4;
use super::initramfs::ALIGNMENT;
use super::kernel;
use super::manifest::{INITRAMFS, KERNEL, Manifest, key};
use super::package_set;
use super::packages::{self, Package};
use super::rootfs_base;
use crate::guest::agent;

/// Returns the standard image from the user's cache. Builds it first if it is not there.
///
/// A cached image is used even if the distribution has newer packages by now: it works offline, and two runs of a test see
/// the same kernel. [`newest_image`] takes the newer packages.
///
/// Blocks: for about 20 s when it builds, longer if the download is slow. `progress` gets a line for each long step.
///
/// # Errors
/// The image cannot be built; the error says what is missing.
pub fn standard_image(progress: &dyn Fn(&str)) -> Result<Image, ImageError> {
    StandardImage::of_user(&Cache::of_user()?, progress).image()
}

/// Returns the standard image if it is in the user's cache. Never builds.
///
/// # Errors
/// The cache cannot be used.
pub fn cached_image() -> Result<Option<Image>, ImageError> {
    StandardImage::of_user(&Cache::of_user()?, &|_| {}).built()
}

/// Builds the standard image again, with the packages that the distribution has now. Blocks like [`standard_image`].
///
/// # Errors
/// The image cannot be built; the error says what is missing.
pub fn newest_image(progress: &dyn Fn(&str)) -> Result<Image, ImageError> {
    StandardImage::of_user(&Cache::of_user()?, progress).newest()
}

/// Builds the parts that come from packages, in a private folder.
type BuildParts<'a> = dyn Fn(&Path, &dyn Fn(&str)) -> Result<(ImageParts, Vec<Package>), ImageError> + Sync + 'a;

/// The inputs of the standard image.
///
/// The parts from packages are a separate entry of the cache. So a new agent or a changed script needs a build of some
/// milliseconds, and no network.
struct StandardImage<'a> {
    cache: &'a Cache,
    agent: &'a [u8],
    progress: &'a dyn Fn(&str),
    build_parts: &'a BuildParts<'a>,
}

/// Downloads the packages of the package set and selects the files that the image needs.
fn from_packages(folder: &Path, progress: &dyn Fn(&str)) -> Result<(ImageParts, Vec<Package>), ImageError> {
    let packages = packages::fetch(&package_set::STANDARD, folder, progress)?;
    progress("packing the guest");
    Ok((build::build(&package_set::STANDARD, &folder.join("root"))?, packages))
}

impl<'a> StandardImage<'a> {
    fn of_user(cache: &'a Cache, progress: &'a dyn Fn(&str)) -> Self {
        Self { cache, agent: agent::BINARY, progress, build_parts: &from_packages }
    }

    /// Returns the image from the cache, or builds it.
    fn image(&self) -> Result<Image, ImageError> {
        if let Some(image) = self.built()? {
            return Ok(image);
        }
        let lock = self.cache.lock()?;
        // Another process may have built it while this one waited for the lock.
        let parts = match self.find(&parts_name()) {
            Some(parts) => parts,
            None => self.build_parts(&lock)?,
        };
        self.build(&lock, &parts)
    }

    /// Returns the image if it is in the cache.
    fn built(&self) -> Result<Option<Image>, ImageError> {
        let Some(parts) = self.find(&parts_name()) else { return Ok(None) };
        Ok(self.find(&self.name(&parts)?).map(Image::of))
    }

    /// Builds the image with the packages that the distribution has now.
    fn newest(&self) -> Result<Image, ImageError> {
        let lock = self.cache.lock()?;
        let parts = self.build_parts(&lock)?;
        self.build(&lock, &parts)
    }

    /// Returns an undamaged entry. A damaged one counts as missing, so it is built again and replaced.
    fn find(&self, name: &str) -> Option<Entry> {
        self.cache.find(name).unwrap_or_else(|damage| {
            (self.progress)(&format!("building the guest again: {damage}"));
            None
        })
    }

    fn name(&self, parts: &Entry) -> Result<String, ImageError> {
        Ok(format!("image-{}", key([parts.manifest.key().as_bytes(), &self.rootfs_base()?])))
    }

    fn rootfs_base(&self) -> Result<Vec<u8>, ImageError> {
        let archive = rootfs_base::tree(self.agent).to_cpio();
        Ok(archive.map_err(CacheError::io("pack", Path::new(rootfs_base::AGENT)))?)
    }

    fn build_parts(&self, lock: &Locked<'_>) -> Result<Entry, ImageError> {
        let work = lock.build_folder()?;
        let (parts, packages) = (self.build_parts)(work.path(), self.progress)?;
        let built = lock.build_folder()?;
        let manifest = write_parts(parts, packages, built.path()).map_err(CacheError::io("write", built.path()))?;
        Ok(lock.publish(built, manifest, &parts_name())?)
    }

    fn build(&self, lock: &Locked<'_>, parts: &Entry) -> Result<Image, ImageError> {
        let name = self.name(parts)?;
        if let Some(image) = self.find(&name) {
            return Ok(Image::of(image));
        }
        let (built, rootfs_base) = (lock.build_folder()?, self.rootfs_base()?);
        let manifest = write_image(parts, &rootfs_base, built.path()).map_err(CacheError::io("write", built.path()))?;
        Ok(Image::of(lock.publish(built, manifest, &name)?))
    }
}

/// Returns the name of the entry for the parts from packages. It depends on the package set and on the distribution, but not
/// on the versions of the packages: to find those out needs a network.
fn parts_name() -> String {
    let system = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let version = system.lines().filter(|line| line.starts_with("ID=") || line.starts_with("VERSION_ID="));
    format!(
        "parts-{}",
        key([package_set::STANDARD.fingerprint().as_str()].into_iter().chain(version).map(str::as_bytes))
    )
}

fn write_parts(parts: ImageParts, packages: Vec<Package>, folder: &Path) -> io::Result<Manifest> {
    let mut manifest = Manifest {
        release: parts.release,
        packages,
        files: Vec::new(),
        kernel_memory: kernel::memory(&parts.kernel),
        unpacked: parts.tree.unpacked(),
    };
    // The guest's memory holds the archive and its unpacked files at the same time, so the archive must be small. But emulated
    // instructions unpack each byte. So compressed files are not compressed again, and the others only with lz4.
    let (loose, packed) = parts.tree.split(|path| !path.ends_with(".gz"));
    let mut archive = pack_lz4(&loose.to_cpio()?);
    archive.resize(archive.len().next_multiple_of(ALIGNMENT), 0);
    archive.extend_from_slice(&packed.to_cpio()?);
    for (name, content) in [(KERNEL, &parts.kernel), (INITRAMFS, &archive)] {
        fs::write(folder.join(name), content)?;
        manifest.record(folder, name)?;
    }
    Ok(manifest)
}

fn write_image(parts: &Entry, rootfs_base: &[u8], folder: &Path) -> io::Result<Manifest> {
    // The archive with our own files is small and not compressed.
    let unpacked = parts.manifest.unpacked + rootfs_base.len() as u64;
    let mut manifest = Manifest { files: Vec::new(), unpacked, ..parts.manifest.clone() };
    fs::hard_link(parts.folder.join(KERNEL), folder.join(KERNEL))?;
    fs::copy(parts.folder.join(INITRAMFS), folder.join(INITRAMFS))?;
    File::options().append(true).open(folder.join(INITRAMFS))?.write_all(rootfs_base)?;
    for name in [KERNEL, INITRAMFS] {
        manifest.record(folder, name)?;
    }
    Ok(manifest)
}

#[cfg(test)]
mod tests;
