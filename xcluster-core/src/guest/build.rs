//! Turns unpacked packages into a kernel and the part of an initramfs that comes from packages.
//! Our own files are added elsewhere, and where results are kept is not known here.

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

/// Where packages put programs.
const PROGRAM_FOLDERS: &[&str] = &["bin", "usr/bin", "sbin", "usr/sbin"];

/// Why unpacked packages do not make a guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A package does not have what it had in the versions that we know.
    #[error("the packages have no {0}")]
    Lacks(String),
    /// A program's libraries are incomplete.
    #[error(transparent)]
    Library(#[from] MissingLibrary),
    /// The unpacked busybox does not say what is in it.
    #[error("cannot ask busybox for its programs")]
    Busybox(#[source] SubprocessError),
    /// The unpacked files.
    #[error("cannot read `{}`", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

/// What comes from packages.
#[derive(Debug)]
pub(super) struct ImageParts {
    pub(super) kernel: Vec<u8>,
    /// The kernel's version, as `uname -r` says it.
    pub(super) release: String,
    pub(super) tree: Tree,
}

/// Takes what the package set wants out of the packages unpacked in `root`.
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

/// A wanted program: its name, and its file on this host.
type Program = (&'static str, PathBuf);

/// Programs with their libraries, the lazy ones apart from the others.
fn put_programs(package_set: &PackageSet, root: &Path, tree: &mut Tree) -> Result<(), BuildError> {
    let libraries = Libraries::of(root).map_err(|error| read(root, error))?;
    let (ready, shelved) = (programs(package_set.programs, root)?, programs(package_set.lazy_programs, root)?);
    let common = closure(root, &libraries, &ready)?;
    for (_, program) in &ready {
        copy(root, program, tree)?;
    }
    for (name, content) in contents(&libraries, &common)? {
        tree.file(&library_path(name), 0o755, content);
    }
    let rare = closure(root, &libraries, &shelved)?.difference(&common).cloned().collect();
    let rare = contents(&libraries, &rare)?;
    for (name, _) in &rare {
        tree.symlink(&library_path(name), &lazy_programs::library(name));
    }
    let mut lazy_programs = LazyPrograms::default();
    for (name, program) in &shelved {
        lazy_programs.add_program(name, fs::read(program).map_err(|error| read(program, error))?);
        tree.symlink(&in_guest(root, program)?, lazy_programs::RUN);
    }
    for (name, content) in rare {
        lazy_programs.add_library(name, content);
    }
    tree.file(lazy_programs::ARCHIVE, 0o644, lazy_programs.pack().map_err(|error| read(root, error))?);
    put_applets(root, &[ready, shelved].concat(), tree)
}

/// The wanted programs.
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
    // A link in a package may be absolute, and then leads to a program of this host.
    let own = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file());
    let found = candidates.into_iter().find(own);
    found.ok_or_else(|| BuildError::Lacks(format!("program `{name}`")))
}

/// Links for the programs that busybox has in it, unless a package has a real one; then the link leads to that.
fn put_applets(root: &Path, programs: &[Program], tree: &mut Tree) -> Result<(), BuildError> {
    let busybox = find_program(root, "busybox")?;
    let listing = stdout_of(Command::new(&busybox).arg("--list-full"), Duration::from_secs(10));
    let listing = String::from_utf8_lossy(&listing.map_err(BuildError::Busybox)?).into_owned();
    for applet in listing.lines() {
        // `linuxrc` is for boot loaders of long ago.
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

/// One folder for all libraries, the first in which the loader looks: each further one costs a failed call per library
/// and program. The loader itself has its place in every program.
fn library_path(name: &str) -> String {
    if name.starts_with("ld-linux") { format!("lib64/{name}") } else { format!("lib/x86_64-linux-gnu/{name}") }
}

/// The release of the kernel in the packages; of several the last.
fn release(root: &Path) -> Result<String, BuildError> {
    let folder = modules_folder(root);
    let entries = fs::read_dir(&folder).map_err(|error| read(&folder, error))?;
    let names: BTreeSet<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.into_iter().next_back().ok_or_else(|| BuildError::Lacks("kernel modules".to_owned()))
}

fn modules_folder(root: &Path) -> PathBuf {
    let merged = root.join("usr/lib/modules");
    if merged.is_dir() { merged } else { root.join("lib/modules") }
}

fn copy_below(root: &Path, path: &Path, tree: &mut Tree) -> Result<(), BuildError> {
    // One or the other place, depending on the distribution's age.
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.is_dir() {
        return copy(root, path, tree);
    }
    for entry in fs::read_dir(path).map_err(|error| read(path, error))? {
        copy_below(root, &entry.map_err(|error| read(path, error))?.path(), tree)?;
    }
    Ok(())
}

/// Takes a file or a link over to where it is in its package.
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
    relative.map(str::to_owned).ok_or_else(|| BuildError::Lacks(format!("readable name for `{}`", path.display())))
}

fn read(path: &Path, source: io::Error) -> BuildError {
    BuildError::Io { path: path.to_owned(), source }
}
