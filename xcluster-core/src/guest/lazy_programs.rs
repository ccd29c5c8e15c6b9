//! Programs that stay compressed in a guest until somebody runs one. Which ones, the package set says; how they are unpacked,
//! the script `run-lazy-program` in the base.

use std::io;

use tar::{Builder, EntryType, Header};

use super::compress::pack_gzip;

/// Where the archive lies in a guest.
pub(super) const ARCHIVE: &str = "usr/lib/xcluster/lazy.tar.gz";

/// What a lazy program is a link to: a script that looks at the name it is called by.
pub(super) const RUN: &str = "/usr/lib/xcluster/run-lazy-program";

/// Where a lazy library is when it is unpacked; until then the link that the loader finds leads nowhere.
pub(super) fn library(name: &str) -> String {
    format!("/usr/lib/xcluster/lazy/lib/{name}")
}

/// Programs and the libraries that only they need.
#[derive(Debug, Default)]
pub(super) struct LazyPrograms {
    files: Vec<(String, Vec<u8>)>,
}

impl LazyPrograms {
    pub(super) fn add_program(&mut self, name: &str, content: Vec<u8>) {
        self.files.push((format!("bin/{name}"), content));
    }

    pub(super) fn add_library(&mut self, name: &str, content: Vec<u8>) {
        self.files.push((format!("lib/{name}"), content));
    }

    /// A compressed tar: the same files in the same order give the same bytes.
    pub(super) fn pack(&self) -> io::Result<Vec<u8>> {
        let mut tar = Builder::new(Vec::new());
        for (path, content) in &self.files {
            let mut header = Header::new_ustar();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o755);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, content.as_slice())?;
        }
        pack_gzip(&tar.into_inner()?)
    }
}
