//! Who still is in a namespace or holds it, and so keeps it alive after its files are gone. Ends nobody.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A process that is in a namespace or holds it open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceUser {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
}

impl fmt::Display for NamespaceUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.pid, self.name)
    }
}

/// The processes that use the network namespace of this number (`Namespace::id`), but for this one.
pub(super) fn of(id: u64) -> Vec<NamespaceUser> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let processes = entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    let others = processes.filter(|(pid, _)| *pid != std::process::id());
    others
        .filter(|(_, process)| uses(process, id))
        .map(|(pid, process)| NamespaceUser { pid, name: name(&process) })
        .collect()
}

/// By being in it, or by a descriptor.
fn uses(process: &Path, id: u64) -> bool {
    let inside = fs::metadata(process.join("ns/net")).is_ok_and(|namespace| namespace.ino() == id);
    // Not by its name, which is that of a file if it was opened by one.
    let request = format!("ino:\t{id}");
    let holds = |descriptor: fs::DirEntry| {
        fs::read_to_string(descriptor.path()).is_ok_and(|info| info.lines().any(|line| line == request))
    };
    inside || fs::read_dir(process.join("fdinfo")).into_iter().flatten().flatten().any(holds)
}

fn name(process: &Path) -> String {
    fs::read_to_string(process.join("comm")).unwrap_or_default().trim_end().to_owned()
}
