//! A folder of this host as the tree of an overlay. Owners and times are dropped.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::sys::stat::{major, minor};

use super::super::initramfs::{BLOCK, CHARACTER, FIFO, Node, Tree};
use super::{OverlayError, inside, unreadable};

pub(super) fn tree(folder: &Path) -> Result<Tree, OverlayError> {
    let mut tree = Tree::default();
    add(folder, Path::new(""), &mut tree)?;
    Ok(tree)
}

fn add(folder: &Path, below: &Path, tree: &mut Tree) -> Result<(), OverlayError> {
    let here = folder.join(below);
    for entry in fs::read_dir(&here).map_err(unreadable(&here))? {
        let relative = below.join(entry.map_err(unreadable(&here))?.file_name());
        let path = folder.join(&relative);
        let metadata = fs::symlink_metadata(&path).map_err(unreadable(&path))?;
        tree.put(&inside(&relative)?, node(&path, &metadata)?);
        if metadata.is_dir() {
            add(folder, &relative, tree)?;
        }
    }
    Ok(())
}

fn node(path: &Path, metadata: &Metadata) -> Result<Node, OverlayError> {
    let (mode, kind) = (metadata.mode() & 0o7777, metadata.file_type());
    let special = |kind: u32| {
        // The numbers of a device fit; those of a FIFO are zero.
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
