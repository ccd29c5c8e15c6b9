//! The way to the standard image: what comes from packages is built once and kept, our own files are put behind it.
//! How either is made, others know; here it is decided when, and that a damaged or missing one is made again.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::build::{self, ImageParts};
use super::cache::{Cache, CacheError, Entry, Locked};
use super::compress::pack_lz4;
use super::image::{INITRAMFS, Image, ImageError, KERNEL};
use super::initramfs::ALIGNMENT;
use super::kernel;
use super::manifest::{Manifest, key};
use super::package_set;
use super::packages::{self, Package};
use super::rootfs_base;

/// Makes what comes from packages, in a folder of its own.
type Make<'a> = dyn Fn(&Path, &dyn Fn(&str)) -> Result<(ImageParts, Vec<Package>), ImageError> + Sync + 'a;

/// What the standard image is to be.
///
/// What comes from packages is an entry of its own in the cache, so that another agent or a changed script of ours is a
/// matter of milliseconds, and needs no network.
pub(super) struct StandardImage<'a> {
    pub(super) cache: &'a Cache,
    pub(super) agent: &'a [u8],
    pub(super) progress: &'a dyn Fn(&str),
    pub(super) make: &'a Make<'a>,
}

/// Downloads the packages of the package set and takes out of them what a guest needs.
pub(super) fn from_packages(
    workshop: &Path,
    progress: &dyn Fn(&str),
) -> Result<(ImageParts, Vec<Package>), ImageError> {
    let packages = packages::fetch(&package_set::STANDARD, workshop, progress)?;
    progress("packing the guest");
    Ok((build::build(&package_set::STANDARD, &workshop.join("root"))?, packages))
}

impl StandardImage<'_> {
    /// The image, from the cache if it is there.
    pub(super) fn image(&self) -> Result<Image, ImageError> {
        if let Some(image) = self.built()? {
            return Ok(image);
        }
        let lock = self.cache.lock()?;
        // Somebody may have built it while we waited.
        let parts = match self.find(&parts_name()) {
            Some(parts) => parts,
            None => self.build_parts(&lock)?,
        };
        self.build(&lock, &parts)
    }

    /// The image, if it is in the cache.
    pub(super) fn built(&self) -> Result<Option<Image>, ImageError> {
        let Some(parts) = self.find(&parts_name()) else { return Ok(None) };
        Ok(self.find(&self.name(&parts)?).map(Image::of))
    }

    /// The image of the packages that the distribution has now.
    pub(super) fn newest(&self) -> Result<Image, ImageError> {
        let lock = self.cache.lock()?;
        let parts = self.build_parts(&lock)?;
        self.build(&lock, &parts)
    }

    /// An entry that is there and whole. A damaged one is built again, which replaces it.
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
        let workshop = lock.workshop()?;
        let (parts, packages) = (self.make)(workshop.path(), self.progress)?;
        let built = lock.workshop()?;
        let manifest = write_parts(parts, packages, built.path()).map_err(CacheError::io("write", built.path()))?;
        Ok(lock.publish(built, manifest, &parts_name())?)
    }

    fn build(&self, lock: &Locked<'_>, parts: &Entry) -> Result<Image, ImageError> {
        let name = self.name(parts)?;
        if let Some(image) = self.find(&name) {
            return Ok(Image::of(image));
        }
        let (built, rootfs_base) = (lock.workshop()?, self.rootfs_base()?);
        let manifest = write_image(parts, &rootfs_base, built.path()).map_err(CacheError::io("write", built.path()))?;
        Ok(Image::of(lock.publish(built, manifest, &name)?))
    }
}

/// The name of what comes from packages: by what we take, and out of which distribution.
///
/// Not by the versions that the distribution has, which only a network could tell.
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
    // The guest has both at once, the archive and what it unpacks to, so the archive must be small; but each byte is
    // unpacked by emulated instructions. So what is compressed already is left as it is, and the rest is not packed hard.
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
    // What is put behind is small and not compressed.
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
