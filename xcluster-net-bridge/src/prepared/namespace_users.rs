//! The processes that use a namespace, and so keep it alive after its files are gone.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A process in a namespace, or with a descriptor of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceUser {
    /// Its process ID.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl fmt::Display for NamespaceUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.pid, self.name)
    }
}

/// The other processes that use the network namespace of this number (`Namespace::id`).
pub(super) fn of(id: u64) -> Vec<NamespaceUser> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    let others = processes.filter(|(pid, _)| *pid != std::process::id());
    others
        .filter(|(_, process)| uses(process, id))
        .map(|(pid, process)| NamespaceUser { pid, name: name(&process) })
        .collect()
}

/// Whether it is in the namespace, or has a descriptor of it.
fn uses(process: &Path, id: u64) -> bool {
    let inside = fs::metadata(process.join("ns/net")).is_ok_and(|namespace| namespace.ino() == id);
    // By the inode in `fdinfo`: a descriptor that was opened by a file has that file's name.
    let request = format!("ino:\t{id}");
    let holds = |descriptor: fs::DirEntry| {
        fs::read_to_string(descriptor.path()).is_ok_and(|info| info.lines().any(|line| line == request))
    };
    inside || fs::read_dir(process.join("fdinfo")).into_iter().flatten().flatten().any(holds)
}

fn name(process: &Path) -> String {
    fs::read_to_string(process.join("comm")).unwrap_or_default().trim_end().to_owned()
}
