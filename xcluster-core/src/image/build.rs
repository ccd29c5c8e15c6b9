//! Makes a kernel and the first part of an initramfs from unpacked packages. The other part, our own files, is in
//! `rootfs_base`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::initramfs::Tree;
use super::kernel;
use super::lazy_programs::{self, LazyPrograms};
use super::libraries::{ClosureError, Libraries, MissingLibrary};
use super::modules::Modules;
use super::package_set::PackageSet;
use super::subprocess::{SubprocessError, stdout_of};
use crate::error_chain;

/// The folders of a package that have programs.
const PROGRAM_FOLDERS: &[&str] = &["bin", "usr/bin", "sbin", "usr/sbin"];

/// Why no image can be made from the unpacked packages.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The packages do not contain something that the versions known to us contain.
    #[error("{0} is not in the packages")]
    Missing(String),
    /// A program needs a library that is in none of the packages.
    #[error(transparent)]
    Library(#[from] MissingLibrary),
    /// The unpacked busybox does not list its programs.
    #[error("cannot ask busybox for its programs")]
    Busybox(#[source] SubprocessError),
    /// An unpacked file cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
}

error_chain::readable_debug!(BuildError);

/// The parts of an image that come from packages.
#[derive(Debug)]
pub(super) struct ImageParts {
    pub(super) kernel: Vec<u8>,
    /// The kernel's version, as `uname -r` prints it.
    pub(super) release: String,
    pub(super) tree: Tree,
}

/// Selects the files of the package set from the packages that are unpacked in `root`.
pub(super) fn build(package_set: &PackageSet, root: &Path) -> Result<ImageParts, BuildError> {
    let root = root.canonicalize().map_err(|error| read(root, error))?;
    let mut tree = Tree::default();
    put_programs(package_set, &root, &mut tree)?;
    for data in package_set.data {
        copy_below(&root, &root.join(data.trim_end_matches('/')), &mut tree)?;
    }
    let release = release(&root)?;
    let folder = modules_folder(&root).join(&release);
    let select = |error| read(&folder, error);
    let modules = Modules::select(&folder, package_set.modules).map_err(select)?;
    modules.put_into(&mut tree, &release, package_set.boot_modules).map_err(select)?;

    let image = root.join("boot").join(format!("vmlinuz-{release}"));
    let image = fs::read(&image).map_err(|error| read(&image, error))?;
    let kernel = kernel::uncompressed(&image).unwrap_or(image);
    Ok(ImageParts { kernel, release, tree })
}

/// A program of the package set: its name, and its file on this host.
type Program = (&'static str, PathBuf);

/// Puts the programs with their libraries into the tree. Lazy programs, and libraries that only they need, go into a
/// compressed archive.
fn put_programs(package_set: &PackageSet, root: &Path, tree: &mut Tree) -> Result<(), BuildError> {
    let libraries = Libraries::of(root).map_err(|error| read(root, error))?;
    let (plain, lazy) = (programs(package_set.programs, root)?, programs(package_set.lazy_programs, root)?);
    let common = closure(root, &libraries, &plain)?;
    for (_, program) in &plain {
        copy(root, program, tree)?;
    }
    for (name, content) in contents(&libraries, &common)? {
        tree.file(&library_path(name), 0o755, content);
    }
    let lazy_only = closure(root, &libraries, &lazy)?.difference(&common).cloned().collect();
    let lazy_only = contents(&libraries, &lazy_only)?;
    for (name, _) in &lazy_only {
        tree.symlink(&library_path(name), &lazy_programs::library(name));
    }
    let mut lazy_programs = LazyPrograms::default();
    for (name, program) in &lazy {
        lazy_programs.add_program(name, fs::read(program).map_err(|error| read(program, error))?);
        tree.symlink(&in_guest(root, program)?, lazy_programs::RUN);
    }
    for (name, content) in lazy_only {
        lazy_programs.add_library(name, content);
    }
    tree.file(lazy_programs::ARCHIVE, 0o644, lazy_programs.pack().map_err(|error| read(root, error))?);
    put_applets(root, &[plain, lazy].concat(), tree)
}

/// Finds the programs of the package set.
fn programs(wanted: &[(&str, &'static [&'static str])], root: &Path) -> Result<Vec<Program>, BuildError> {
    let names = wanted.iter().flat_map(|(_, programs)| *programs);
    names.map(|name| Ok((*name, find_program(root, name)?))).collect()
}

fn closure(root: &Path, libraries: &Libraries, programs: &[Program]) -> Result<BTreeSet<String>, BuildError> {
    libraries.closure(programs.iter().map(|(_, path)| path.as_path())).map_err(|error| match error {
        ClosureError::Missing(missing) => BuildError::Library(missing),
        ClosureError::Io(error) => read(root, error),
    })
}

fn contents<'a>(libraries: &Libraries, names: &'a BTreeSet<String>) -> Result<Vec<(&'a str, Vec<u8>)>, BuildError> {
    let files = names.iter().filter_map(|name| Some((name.as_str(), libraries.file(name)?)));
    files.map(|(name, file)| Ok((name, fs::read(file).map_err(|error| read(file, error))?))).collect()
}

fn find_program(root: &Path, name: &str) -> Result<PathBuf, BuildError> {
    let candidates = PROGRAM_FOLDERS.iter().map(|folder| root.join(folder).join(name));
    // Links do not count: an absolute link in a package leads to a program of this host.
    let is_file = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    let found = candidates.into_iter().find(is_file);
    found.ok_or_else(|| BuildError::Missing(format!("program `{name}`")))
}

/// Adds links for the programs that busybox contains. If a package has the same program, the link leads to that.
fn put_applets(root: &Path, programs: &[Program], tree: &mut Tree) -> Result<(), BuildError> {
    let busybox = find_program(root, "busybox")?;
    let listing = stdout_of(Command::new(&busybox).arg("--list-full"), Duration::from_secs(10));
    let listing = String::from_utf8_lossy(&listing.map_err(BuildError::Busybox)?).into_owned();
    for applet in listing.lines() {
        // The only entry without a slash is `linuxrc`, which only very old boot loaders use.
        if tree.at(applet).is_some() || !applet.contains('/') {
            continue;
        }
        let name = applet.rsplit('/').next().unwrap_or(applet);
        let real = programs.iter().find(|(program, _)| *program == name).map_or(&busybox, |(_, path)| path);
        tree.symlink(applet, &format!("/{}", in_guest(root, real)?));
    }
    for shell in ["bin/bash", "bin/sh"] {
        tree.symlink(shell, "bash-static");
    }
    Ok(())
}

/// Returns where a library goes. All are in the folder that the loader searches first: each further folder would cost a failed
/// system call per library and program. The path of the loader itself is fixed in each program.
fn library_path(name: &str) -> String {
    if name.starts_with("ld-linux") { format!("lib64/{name}") } else { format!("lib/x86_64-linux-gnu/{name}") }
}

/// Returns the release of the kernel in the packages, the last one if there are several.
fn release(root: &Path) -> Result<String, BuildError> {
    let folder = modules_folder(root);
    let entries = fs::read_dir(&folder).map_err(|error| read(&folder, error))?;
    let names: BTreeSet<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.into_iter().next_back().ok_or_else(|| BuildError::Missing("a kernel with modules".to_owned()))
}

fn modules_folder(root: &Path) -> PathBuf {
    let merged = root.join("usr/lib/modules");
    if merged.is_dir() { merged } else { root.join("lib/modules") }
}

fn copy_below(root: &Path, path: &Path, tree: &mut Tree) -> Result<(), BuildError> {
    // The package set names the old and the new place of a file, so one of them is missing.
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.is_dir() {
        return copy(root, path, tree);
    }
    for entry in fs::read_dir(path).map_err(|error| read(path, error))? {
        copy_below(root, &entry.map_err(|error| read(path, error))?.path(), tree)?;
    }
    Ok(())
}

/// Copies a file or a link to the path that it has in its package.
fn copy(root: &Path, path: &Path, tree: &mut Tree) -> Result<(), BuildError> {
    let (at, failed) = (in_guest(root, path)?, |error| read(path, error));
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    if metadata.is_symlink() {
        let target = fs::read_link(path).map_err(failed)?;
        tree.symlink(&at, &target.to_string_lossy());
    } else {
        tree.file(&at, metadata.permissions().mode() & 0o755, fs::read(path).map_err(failed)?);
    }
    Ok(())
}

fn in_guest(root: &Path, path: &Path) -> Result<String, BuildError> {
    let relative = path.strip_prefix(root).ok().and_then(Path::to_str);
    relative.map(str::to_owned).ok_or_else(|| BuildError::Missing(format!("a UTF-8 name for `{}`", path.display())))
}

fn read(path: &Path, source: io::Error) -> BuildError {
    BuildError::Io { path: path.to_owned(), source }
}
