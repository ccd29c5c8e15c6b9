//! Downloads the distribution's packages and unpacks them into a private folder, with the distribution's own tools. Nothing is
//! installed, and no root privilege is needed.

mod apt;
mod depends;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::package_set::PackageSet;
use super::subprocess::SubprocessError;
use crate::error_chain;

/// The programs of the host that build the standard image.
pub const BUILD_PROGRAMS: [&str; 3] = ["apt-cache", "apt-get", "dpkg-deb"];

/// A package that an image contains files of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, as the distribution writes it.
    pub version: String,
}

/// Why the packages cannot be downloaded or unpacked.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// The host is not Debian or Ubuntu.
    #[error("`{program}` not found: the guest is built from Debian or Ubuntu packages")]
    NoApt {
        /// The missing program.
        program: &'static str,
    },
    /// No kernel package is known for the architecture of the host.
    #[error("no kernel package is known for the architecture `{0}`")]
    Architecture(&'static str),
    /// apt's lists do not contain a package: they are empty or old, or lack a component of the distribution.
    #[error("apt does not know the package {}", list(.0))]
    Unknown(Vec<String>),
    /// apt knows the packages and cannot download them.
    #[error("cannot download the packages")]
    Download(#[source] SubprocessError),
    /// A package cannot be unpacked.
    #[error("cannot unpack `{package}`")]
    Unpack {
        /// The file name of the package.
        package: String,
        /// The error of `dpkg-deb`.
        #[source]
        source: SubprocessError,
    },
    /// apt does not list the dependencies.
    #[error("cannot ask apt for the dependencies of the packages")]
    Apt(#[source] SubprocessError),
    /// A file of the private folder cannot be written.
    #[error("cannot write `{}`", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

error_chain::readable_debug!(PackageError);

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Downloads the packages of the package set and their libraries, and unpacks them into `folder/root`.
pub(super) fn fetch(
    package_set: &PackageSet,
    folder: &Path,
    progress: &dyn Fn(&str),
) -> Result<Vec<Package>, PackageError> {
    let names = names(package_set)?;
    let downloads = folder.join("downloads");
    create(&downloads)?;
    progress(&format!("downloading {} packages", names.len()));
    apt::download(&names, &downloads)?;

    let root = folder.join("root");
    create(&root)?;
    let mut files = debs(&downloads).map_err(|source| PackageError::Io { path: downloads, source })?;
    files.sort();
    progress(&format!("unpacking {} packages", files.len()));
    files.iter().map(|file| unpack(file, &root)).collect()
}

/// Returns the names of the packages to download: the kernel, the programs, and the libraries that they depend on.
fn names(package_set: &PackageSet) -> Result<Vec<String>, PackageError> {
    if env::consts::ARCH != "x86_64" {
        return Err(PackageError::Architecture(env::consts::ARCH));
    }
    let no_kernel = || PackageError::Unknown(package_set.kernels.iter().map(|name| (*name).to_owned()).collect());
    let kernel = apt::first_known(package_set.kernels)?.ok_or_else(no_kernel)?;
    let roots: Vec<&str> = package_set.packages().chain([kernel]).collect();
    let unknown = apt::unknown(&roots)?;
    if !unknown.is_empty() {
        return Err(PackageError::Unknown(unknown));
    }
    let depends = depends::parse(&apt::depends(&roots)?);
    Ok(depends.closure(roots.iter().copied(), |name| package_set.is_part(name)))
}

fn unpack(file: &Path, root: &Path) -> Result<Package, PackageError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    apt::unpack(file, root).map_err(|source| PackageError::Unpack { package: name.to_string(), source })?;
    // All downloads together are 40 MB, which are not needed any more.
    fs::remove_file(file).map_err(|source| PackageError::Io { path: file.to_owned(), source })?;
    Ok(apt::package_of(&name))
}

fn create(folder: &Path) -> Result<(), PackageError> {
    fs::create_dir_all(folder).map_err(|source| PackageError::Io { path: folder.to_owned(), source })
}

fn debs(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
    let paths = entries.collect::<io::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "deb")).collect())
}
