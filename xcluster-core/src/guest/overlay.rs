//! Files that are put over a guest's own: a user's overlay (a tar, a folder, or a folder with a program that makes a
//! tar), or one that is generated. Each becomes an archive behind the initramfs; where it goes then is not decided here.

mod folder;
mod tar;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::compress::unpack;
use super::initramfs::Tree;
use super::subprocess::{SubprocessError, stdout_of};

/// How long a folder's own `tar` may take: some compile what they pack.
const SCRIPT: Duration = Duration::from_secs(600);

/// What is put over a guest's own files. Clones share it: some are large.
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

/// Why something is no overlay.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OverlayError {
    /// What is at a path cannot be used.
    #[error("cannot use overlay `{}`", .path.display())]
    Unusable {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<OverlayError>,
    },
    /// It cannot be read.
    #[error("cannot read `{}`", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The folder's own program failed.
    #[error("the overlay's program made no tar")]
    Script(#[source] SubprocessError),
    /// It would be put outside of the guest's root, or has a name that is no text.
    #[error("`{0}` is no path within a guest: it must be relative, without `..`, and UTF-8")]
    Path(String),
    /// A socket, or a kind that only some tars know.
    #[error("`{path}` is {kind}, which cannot be put into a guest")]
    Kind {
        /// The path in the overlay.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A link to a file that does not come before it.
    #[error("`{path}` is a hard link to `{target}`, which is not in the overlay before it")]
    Link {
        /// The path in the overlay.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// Not a tar, or a broken one.
    #[error("this is no tar, or it is broken")]
    Tar(#[source] io::Error),
}

impl Overlay {
    /// The overlay at a path: a tar (also compressed with gzip, xz or zstd), a folder with a program `tar`, or a folder
    /// whose files are meant.
    ///
    /// The program is called in its folder with the name of the file to write, and may write to its standard output
    /// instead; it has ten minutes. Everything belongs to root in the guest, whoever owns it here.
    pub fn from_path(path: &Path) -> Result<Self, OverlayError> {
        Self::from_path_within(path, SCRIPT).map_err(|error| match error {
            named @ OverlayError::Io { .. } => named,
            source => OverlayError::Unusable { path: path.to_owned(), source: Box::new(source) },
        })
    }

    /// An overlay of generated files.
    pub fn from_files(files: impl IntoIterator<Item = OverlayFile>) -> Result<Self, OverlayError> {
        let mut tree = Tree::default();
        for file in files {
            let path = inside(Path::new(&file.path))?;
            tree.file(&path, file.mode & 0o7777, file.content);
        }
        Self::of(&tree)
    }

    /// The archive, in the form that the kernel unpacks. Its length is a multiple of four.
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
            folder::tree(path)?
        };
        Self::of(&tree)
    }

    fn of(tree: &Tree) -> Result<Self, OverlayError> {
        Ok(Self { archive: Arc::new(tree.to_cpio().map_err(OverlayError::Tar)?) })
    }
}

fn unpacked(bytes: Vec<u8>) -> Result<Tree, OverlayError> {
    tar::tree(&unpack(bytes).map_err(OverlayError::Tar)?)
}

/// What a folder's own program makes.
fn run(folder: &Path, script: &Path, deadline: Duration) -> Result<Vec<u8>, OverlayError> {
    // A private folder of our own, so that the program makes the file itself, as it would from a shell.
    let private = tempfile::tempdir().map_err(unreadable(folder))?;
    let file = private.path().join("overlay.tar");
    // Run by its full name: a relative one would be looked for from here, before the folder is changed.
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

/// A path in the form of an archive: without `.` and slashes at either end.
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

#[cfg(test)]
mod tests;
