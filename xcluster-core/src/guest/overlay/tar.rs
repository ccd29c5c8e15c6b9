//! A tar as the tree of an overlay. Owners and times are dropped.

use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

use tar::{Archive, Entry, EntryType};

use super::super::initramfs::{BLOCK, CHARACTER, FIFO, Node, Tree};
use super::{OverlayError, inside};

pub(super) fn tree(bytes: &[u8]) -> Result<Tree, OverlayError> {
    let mut tree = Tree::default();
    let mut archive = Archive::new(bytes);
    for entry in archive.entries().map_err(OverlayError::Tar)? {
        let entry = entry.map_err(OverlayError::Tar)?;
        let path = inside(&entry.path().map_err(OverlayError::Tar)?)?;
        // The root itself, which most tars begin with, is not ours to change.
        if !path.is_empty()
            && let Some(node) = node(entry, &path, &tree)?
        {
            tree.put(&path, node);
        }
    }
    Ok(tree)
}

/// What an entry stands for; none for those that only say something about the archive.
fn node(mut entry: Entry<'_, &[u8]>, path: &str, tree: &Tree) -> Result<Option<Node>, OverlayError> {
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
        EntryType::Char => special(&entry, CHARACTER | mode)?,
        EntryType::Block => special(&entry, BLOCK | mode)?,
        EntryType::Fifo => Node::Special { mode: FIFO | mode, major: 0, minor: 0 },
        EntryType::XGlobalHeader => return Ok(None),
        _ => return Err(OverlayError::Kind { path: path.to_owned(), kind: "of a kind that only some tars know" }),
    }))
}

fn target<'a>(entry: &'a Entry<'_, &[u8]>) -> Result<Cow<'a, Path>, OverlayError> {
    Ok(entry.link_name().map_err(OverlayError::Tar)?.unwrap_or_default())
}

fn special(entry: &Entry<'_, &[u8]>, mode: u32) -> Result<Node, OverlayError> {
    let header = entry.header();
    let major = header.device_major().map_err(OverlayError::Tar)?.unwrap_or(0);
    let minor = header.device_minor().map_err(OverlayError::Tar)?.unwrap_or(0);
    Ok(Node::Special { mode, major, minor })
}
