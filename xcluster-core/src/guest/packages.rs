//! The distribution's packages that a guest is made of: named, downloaded and unpacked into a private folder by the
//! distribution's own tools. Nothing is installed, no root is needed, and what is taken out of them is not decided here.

mod apt;
mod depends;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::package_set::PackageSet;
use super::subprocess::SubprocessError;

/// The programs of the host that a guest is built with.
pub const BUILD_PROGRAMS: [&str; 3] = ["apt-cache", "apt-get", "dpkg-deb"];

/// A package of which a guest has something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, as the distribution writes it.
    pub version: String,
}

/// Why packages could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PackageError {
    /// This is no Debian or Ubuntu.
    #[error("`{program}` is not there, and the guest is built from Debian or Ubuntu packages")]
    NoApt {
        /// What was looked for.
        program: &'static str,
    },
    /// No package has a kernel for machines like this one.
    #[error("no kernel package is known for this architecture, `{0}`")]
    Architecture(&'static str),
    /// The lists are empty, old, or without a component.
    #[error("apt knows no package {}", list(.0))]
    Unknown(Vec<String>),
    /// They are known, but do not arrive.
    #[error("cannot download the packages")]
    Download(#[source] SubprocessError),
    /// One arrived that does not unpack.
    #[error("cannot unpack `{package}`")]
    Unpack {
        /// The file.
        package: String,
        /// What was said.
        #[source]
        source: SubprocessError,
    },
    /// Something else that we run failed.
    #[error("cannot ask apt for what the packages depend on")]
    Apt(#[source] SubprocessError),
    /// The private folder.
    #[error("cannot write `{}`", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Downloads what the package set wants, with the libraries of those packages, and unpacks all of it into `folder/root`.
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

/// The names of the packages to download: the kernel, the programs, and the libraries that those depend on.
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
    // The download is 40 MB that nobody needs any more.
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
