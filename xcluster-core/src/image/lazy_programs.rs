//! Programs that stay compressed in a guest until one of them is run. The script `rootfs_base/run-lazy-program` unpacks them.

use std::io;

use tar::{Builder, EntryType, Header};

use super::compress::pack_gzip;

/// The path of the archive in a guest.
pub(super) const ARCHIVE: &str = "usr/lib/xcluster/lazy.tar.gz";

/// The target of the links that stand for lazy programs: a script that uses the name by which it is called.
pub(super) const RUN: &str = "/usr/lib/xcluster/run-lazy-program";

/// Returns the path of a lazy library once it is unpacked. The link in the loader's folder dangles until then.
pub(super) fn library(name: &str) -> String {
    format!("/usr/lib/xcluster/lazy/lib/{name}")
}

/// The lazy programs and the libraries that only they need.
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

    /// Returns a compressed tar. The same files in the same order give the same bytes.
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
