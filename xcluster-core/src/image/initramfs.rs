//! A reproducible archive in the format that the kernel unpacks at boot (cpio, newc).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::io::{self, Write};

use cpio::newc;

/// Each archive of an initramfs begins at a multiple of this offset: the kernel looks for it there.
pub(super) const ALIGNMENT: usize = 4;

/// The size of a page: files take whole pages of a guest's memory.
const PAGE: usize = 4096;

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
pub(super) const CHARACTER: u32 = 0o020_000;
pub(super) const BLOCK: u32 = 0o060_000;
pub(super) const FIFO: u32 = 0o010_000;

/// A directory, file or link at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Directory {
        mode: u32,
    },
    File {
        mode: u32,
        content: Vec<u8>,
    },
    Symlink {
        target: String,
    },
    /// A device or a FIFO; `mode` contains the kind.
    Special {
        mode: u32,
        major: u32,
        minor: u32,
    },
}

impl Node {
    fn mode(&self) -> u32 {
        match self {
            Self::Directory { mode } => DIRECTORY | mode,
            Self::File { mode, .. } => REGULAR | mode,
            Self::Symlink { .. } => SYMLINK | 0o777,
            Self::Special { mode, .. } => *mode,
        }
    }

    fn content(&self) -> &[u8] {
        match self {
            Self::File { content, .. } => content,
            Self::Symlink { target } => target.as_bytes(),
            Self::Directory { .. } | Self::Special { .. } => &[],
        }
    }
}

/// A tree of files, by path from the root without a leading slash.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Puts a node at a path, in place of an earlier one. Adds missing folders above it, because the kernel does not.
    pub(super) fn put(&mut self, path: &str, node: Node) {
        for (at, _) in path.match_indices('/') {
            if let Slot::Vacant(slot) = self.nodes.entry(path[..at].to_owned()) {
                slot.insert(Node::Directory { mode: usual_mode(&path[..at]) });
            }
        }
        self.nodes.insert(path.to_owned(), node);
    }

    /// Puts a file.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) {
        self.put(path, Node::File { mode, content: content.into() });
    }

    /// Puts a symbolic link.
    pub(super) fn symlink(&mut self, path: &str, target: &str) {
        self.put(path, Node::Symlink { target: target.to_owned() });
    }

    /// Puts a folder with its usual mode.
    pub(super) fn directory(&mut self, path: &str) {
        self.put(path, Node::Directory { mode: usual_mode(path) });
    }

    /// Returns the node at the path.
    pub(super) fn at(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Splits the tree. The first one gets the files that `is_first` accepts, and all folders, links and devices; the second
    /// one gets the other files.
    pub(super) fn split(self, is_first: impl Fn(&str) -> bool) -> (Self, Self) {
        let (mut first, mut second) = (Self::default(), Self::default());
        for (path, node) in self.nodes {
            if matches!(node, Node::File { .. }) && !is_first(&path) {
                second.nodes.insert(path, node);
            } else {
                first.nodes.insert(path, node);
            }
        }
        (first, second)
    }

    /// Returns the size of the unpacked tree in a guest's memory, in bytes: whole pages.
    pub(super) fn unpacked(&self) -> u64 {
        let size = |node: &Node| node.content().len().next_multiple_of(PAGE) as u64;
        self.nodes.values().map(size).sum()
    }

    /// Returns the archive. The same tree gives the same bytes. The length is a multiple of [`ALIGNMENT`].
    pub(super) fn to_cpio(&self) -> io::Result<Vec<u8>> {
        let mut archive = Vec::new();
        for (ino, (path, node)) in (1..).zip(&self.nodes) {
            let content = node.content();
            let size = u32::try_from(content.len())
                .map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, format!("{path} has more than 4 GiB")))?;
            let mut header = newc::Builder::new(path).ino(ino).mode(node.mode());
            if let Node::Special { major, minor, .. } = node {
                header = header.rdev_major(*major).rdev_minor(*minor);
            }
            let mut writer = header.write(&mut archive, size);
            writer.write_all(content)?;
            writer.finish()?;
        }
        let mut archive = newc::trailer(archive)?;
        archive.resize(archive.len().next_multiple_of(ALIGNMENT), 0);
        Ok(archive)
    }
}

/// Returns the mode of a folder that is only added for its content. The kernel sets the mode of an existing folder again, so it
/// must be the one that the folder has in the image.
fn usual_mode(path: &str) -> u32 {
    match path {
        "tmp" | "var/tmp" => 0o1777,
        "root" | "root/.ssh" => 0o700,
        _ => 0o755,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(archive: &[u8]) -> Vec<String> {
        let mut rest = archive;
        let mut entries = Vec::new();
        loop {
            let reader = newc::Reader::new(rest).unwrap();
            let entry = reader.entry().clone();
            if entry.is_trailer() {
                return entries;
            }
            entries.push(format!(
                "{} {} {:o} {} {}:{} {}",
                entry.ino(),
                entry.name(),
                entry.mode(),
                entry.file_size(),
                entry.rdev_major(),
                entry.rdev_minor(),
                entry.mtime() + entry.uid() + entry.gid(),
            ));
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn an_archive_is_sorted_complete_and_without_time_or_owner() {
        let mut tree = Tree::default();
        tree.put("dev/console", Node::Special { mode: CHARACTER | 0o600, major: 5, minor: 1 });
        tree.file("bin/a", 0o755, "hello");
        tree.symlink("bin/sh", "a");
        tree.file("tmp/x", 0o644, "");
        let expected = [
            "1 bin 40755 0 0:0 0",
            "2 bin/a 100755 5 0:0 0",
            "3 bin/sh 120777 1 0:0 0",
            "4 dev 40755 0 0:0 0",
            "5 dev/console 20600 0 5:1 0",
            "6 tmp 41777 0 0:0 0",
            "7 tmp/x 100644 0 0:0 0",
        ];
        assert_eq!(entries(&tree.to_cpio().unwrap()), expected);
    }

    #[test]
    fn the_order_in_which_files_are_added_does_not_matter() {
        let files = [("etc/hosts", "1"), ("etc/a/b/c", "22"), ("init", "333")];
        let archive = |files: &mut dyn Iterator<Item = &(&str, &str)>| {
            let mut tree = Tree::default();
            for (path, content) in files {
                tree.file(path, 0o644, *content);
            }
            tree.to_cpio().unwrap()
        };
        assert_eq!(archive(&mut files.iter()), archive(&mut files.iter().rev()));
    }

    #[test]
    fn a_split_tree_has_its_folders_in_the_first_part() {
        let mut tree = Tree::default();
        tree.file("lib/a.ko", 0o644, "1");
        tree.file("lib/deep/b.ko.gz", 0o644, vec![2; 5000]);
        assert_eq!(tree.unpacked(), 3 * 4096);
        let (first, second) = tree.split(|path| !path.ends_with(".gz"));
        assert!(first.at("lib/deep").is_some() && first.at("lib/a.ko").is_some());
        assert_eq!(second.nodes.keys().collect::<Vec<_>>(), ["lib/deep/b.ko.gz"]);
    }

    #[test]
    fn an_archive_can_be_followed_by_another() {
        let mut tree = Tree::default();
        tree.file("odd", 0o644, "1");
        assert_eq!(tree.to_cpio().unwrap().len() % ALIGNMENT, 0);
    }
}
