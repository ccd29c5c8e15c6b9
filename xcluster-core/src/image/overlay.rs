//! Files that are put over an image: a user's overlay (a tar, a folder, or a folder with a program that makes a tar), or
//! generated files. Each overlay becomes an archive behind the initramfs.

use std::borrow::Cow;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::stat::{major, minor};
use tar::{Archive, Entry, EntryType};

use super::compress::unpack;
use super::initramfs::{BLOCK, CHARACTER, FIFO, Node, Tree};
use super::subprocess::{SubprocessError, stdout_of};
use crate::error_chain;

/// How long a folder's program `tar` may run: some programs compile the files that they pack.
const SCRIPT: Duration = Duration::from_secs(600);

/// Files that are put over an image. Clones share the content, which may be large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    archive: Arc<Vec<u8>>,
}

/// A file to put into a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlayFile {
    /// Its path from the root, such as `etc/init.d/20routes.rc`.
    pub path: String,
    /// Its permissions, such as `0o755`.
    pub mode: u32,
    /// Its content.
    pub content: Vec<u8>,
}

/// Why an overlay cannot be used.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// The overlay at a path cannot be used.
    #[error("cannot use overlay `{}`", .path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<OverlayError>,
    },
    /// A file or folder cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's error.
        #[source]
        source: io::Error,
    },
    /// The folder's program `tar` failed.
    #[error("the overlay's program made no tar")]
    Script(#[source] SubprocessError),
    /// A path leads out of the guest's root, or is not UTF-8.
    #[error("`{0}` is not a path within a guest: it must be relative, without `..`, and UTF-8")]
    Path(String),
    /// A file has a kind that a guest cannot have: a socket, or a kind of entry that only some tars have.
    #[error("`{path}` is {kind}, which cannot be put into a guest")]
    Kind {
        /// The path in the overlay.
        path: String,
        /// Its kind.
        kind: &'static str,
    },
    /// The target of a hard link is not in the overlay before the link.
    #[error("`{path}` is a hard link to `{target}`, which is not in the overlay before it")]
    Link {
        /// The path in the overlay.
        path: String,
        /// The target of the link.
        target: String,
    },
    /// The file is not a tar, or is damaged.
    #[error("not a tar, or a damaged one")]
    Tar(#[source] io::Error),
}

error_chain::readable_debug!(OverlayError);

impl Overlay {
    /// Reads the overlay at a path: a tar (also compressed with gzip, xz or zstd), a folder with a program `tar`, or any other
    /// folder, whose files are taken.
    ///
    /// The program runs in its folder. Its argument is the name of the tar to write; it may also write the tar to its standard
    /// output. It may run for ten minutes. All files belong to root in the guest.
    ///
    /// # Errors
    /// A file cannot be read, the program fails, or an entry cannot be put into a guest.
    pub fn from_path(path: &Path) -> Result<Self, OverlayError> {
        Self::from_path_within(path, SCRIPT).map_err(|error| match error {
            named @ OverlayError::Io { .. } => named,
            source => OverlayError::Unusable { path: path.to_owned(), source: Box::new(source) },
        })
    }

    /// Makes an overlay of generated files.
    ///
    /// # Errors
    /// A path leads out of the guest.
    pub fn from_files(files: impl IntoIterator<Item = OverlayFile>) -> Result<Self, OverlayError> {
        let mut tree = Tree::default();
        for file in files {
            let path = inside(Path::new(&file.path))?;
            tree.file(&path, file.mode & 0o7777, file.content);
        }
        Self::of(&tree)
    }

    /// Returns the archive, in the format that the kernel unpacks. Its length is a multiple of four.
    pub fn to_cpio(&self) -> &[u8] {
        &self.archive
    }

    fn from_path_within(path: &Path, deadline: Duration) -> Result<Self, OverlayError> {
        let metadata = fs::metadata(path).map_err(unreadable(path))?;
        let script = path.join("tar");
        let tree = if !metadata.is_dir() {
            unpacked(fs::read(path).map_err(unreadable(path))?)?
        } else if is_program(&script) {
            unpacked(run(path, &script, deadline)?)?
        } else {
            folder_tree(path)?
        };
        Self::of(&tree)
    }

    fn of(tree: &Tree) -> Result<Self, OverlayError> {
        Ok(Self { archive: Arc::new(tree.to_cpio().map_err(OverlayError::Tar)?) })
    }
}

fn unpacked(bytes: Vec<u8>) -> Result<Tree, OverlayError> {
    tar_tree(&unpack(bytes).map_err(OverlayError::Tar)?)
}

/// Runs a folder's program and returns the tar that it makes.
fn run(folder: &Path, script: &Path, deadline: Duration) -> Result<Vec<u8>, OverlayError> {
    // In a private folder, where the file does not exist yet: the program creates it, as if it were called from a shell.
    let private = tempfile::tempdir().map_err(unreadable(folder))?;
    let file = private.path().join("overlay.tar");
    // The full path: a relative one would be resolved before the working directory is changed.
    let script = script.canonicalize().map_err(unreadable(script))?;
    let stdout = stdout_of(Command::new(&script).arg(&file).current_dir(folder), deadline);
    let stdout = stdout.map_err(OverlayError::Script)?;
    match fs::read(&file) {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(stdout),
        Err(error) => Err(unreadable(&file)(error)),
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Returns the form of a path that archives use: without `.`, and without a slash at either end.
fn inside(path: &Path) -> Result<String, OverlayError> {
    let outside = || OverlayError::Path(path.display().to_string());
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str().ok_or_else(outside)?),
            Component::CurDir => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    Ok(parts.join("/"))
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> OverlayError {
    let path = path.to_owned();
    move |source| OverlayError::Io { path, source }
}

/// Returns the files of a folder on this host. Owners and times are dropped.
fn folder_tree(folder: &Path) -> Result<Tree, OverlayError> {
    let mut tree = Tree::default();
    add_folder(folder, Path::new(""), &mut tree)?;
    Ok(tree)
}

fn add_folder(folder: &Path, below: &Path, tree: &mut Tree) -> Result<(), OverlayError> {
    let here = folder.join(below);
    for entry in fs::read_dir(&here).map_err(unreadable(&here))? {
        let relative = below.join(entry.map_err(unreadable(&here))?.file_name());
        let path = folder.join(&relative);
        let metadata = fs::symlink_metadata(&path).map_err(unreadable(&path))?;
        tree.put(&inside(&relative)?, host_node(&path, &metadata)?);
        if metadata.is_dir() {
            add_folder(folder, &relative, tree)?;
        }
    }
    Ok(())
}

fn host_node(path: &Path, metadata: &Metadata) -> Result<Node, OverlayError> {
    let (mode, kind) = (metadata.mode() & 0o7777, metadata.file_type());
    let special = |kind: u32| {
        // The numbers of a device fit into 32 bits; those of a FIFO are zero.
        let (major, minor) = (major(metadata.rdev()) as u32, minor(metadata.rdev()) as u32);
        Node::Special { mode: kind | mode, major, minor }
    };
    Ok(if kind.is_dir() {
        Node::Directory { mode }
    } else if kind.is_file() {
        Node::File { mode, content: fs::read(path).map_err(unreadable(path))? }
    } else if kind.is_symlink() {
        let target = fs::read_link(path).map_err(unreadable(path))?;
        let text = target.to_str().ok_or_else(|| OverlayError::Path(target.display().to_string()))?;
        Node::Symlink { target: text.to_owned() }
    } else if kind.is_char_device() {
        special(CHARACTER)
    } else if kind.is_block_device() {
        special(BLOCK)
    } else if kind.is_fifo() {
        special(FIFO)
    } else {
        return Err(OverlayError::Kind { path: path.display().to_string(), kind: "a socket" });
    })
}

/// Returns the files of a tar. Owners and times are dropped.
fn tar_tree(bytes: &[u8]) -> Result<Tree, OverlayError> {
    let mut tree = Tree::default();
    let mut archive = Archive::new(bytes);
    for entry in archive.entries().map_err(OverlayError::Tar)? {
        let entry = entry.map_err(OverlayError::Tar)?;
        let path = inside(&entry.path().map_err(OverlayError::Tar)?)?;
        // Most tars begin with the root folder, whose mode must not change.
        if !path.is_empty()
            && let Some(node) = tar_node(entry, &path, &tree)?
        {
            tree.put(&path, node);
        }
    }
    Ok(tree)
}

/// Returns the node of an entry; `None` for entries with metadata of the archive.
fn tar_node(mut entry: Entry<'_, &[u8]>, path: &str, tree: &Tree) -> Result<Option<Node>, OverlayError> {
    let mode = entry.header().mode().map_err(OverlayError::Tar)? & 0o7777;
    Ok(Some(match entry.header().entry_type() {
        EntryType::Directory => Node::Directory { mode },
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(OverlayError::Tar)?;
            Node::File { mode, content }
        }
        EntryType::Symlink => {
            let target = target(&entry)?;
            Node::Symlink { target: target.to_str().ok_or_else(|| OverlayError::Path(path.to_owned()))?.to_owned() }
        }
        EntryType::Link => {
            let target = inside(&target(&entry)?)?;
            let linked = tree.at(&target).cloned();
            linked.ok_or_else(|| OverlayError::Link { path: path.to_owned(), target })?
        }
        EntryType::Char => tar_device(&entry, CHARACTER | mode)?,
        EntryType::Block => tar_device(&entry, BLOCK | mode)?,
        EntryType::Fifo => Node::Special { mode: FIFO | mode, major: 0, minor: 0 },
        EntryType::XGlobalHeader => return Ok(None),
        _ => return Err(OverlayError::Kind { path: path.to_owned(), kind: "of a kind that only some tars have" }),
    }))
}

fn target<'a>(entry: &'a Entry<'_, &[u8]>) -> Result<Cow<'a, Path>, OverlayError> {
    Ok(entry.link_name().map_err(OverlayError::Tar)?.unwrap_or_default())
}

fn tar_device(entry: &Entry<'_, &[u8]>, mode: u32) -> Result<Node, OverlayError> {
    let header = entry.header();
    let major = header.device_major().map_err(OverlayError::Tar)?.unwrap_or(0);
    let minor = header.device_minor().map_err(OverlayError::Tar)?.unwrap_or(0);
    Ok(Node::Special { mode, major, minor })
}

#[cfg(test)]
mod tests;
