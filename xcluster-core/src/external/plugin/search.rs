//! The folders of plugins, and the plugins in them. `file_permissions` and `load` judge the files.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use super::backend::{PluginBackend, PluginConfig};
use super::error::PluginError;
use super::load::is_name;

/// The variable that replaces the usual folders: paths separated by colons.
const FOLDERS: &str = "XCLUSTER_PLUGINS";
/// The user's folder, below the home.
const OWN: &str = ".local/lib/xcluster";
/// The folders of the host.
const HOST: [&str; 2] = ["/usr/local/lib/xcluster", "/usr/lib/xcluster"];
/// The parts of a plugin's file name: `libxcluster_net_NAME.so`, with `_` for each `-` of the name, as cargo names libraries.
const BEFORE: &str = "libxcluster_net_";
const AFTER: &str = ".so";

/// A file that may be a plugin.
#[derive(Debug)]
#[non_exhaustive]
pub struct FoundPlugin {
    /// The name in its file name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The plugin, or why it cannot be used.
    pub plugin: Result<PluginBackend, PluginError>,
}

/// The folders of plugins, the preferred one first: those of `XCLUSTER_PLUGINS` if it is set, else `~/.local/lib/xcluster`,
/// `/usr/local/lib/xcluster` and `/usr/lib/xcluster`.
pub fn folders() -> Vec<PathBuf> {
    folders_by(env::var_os(FOLDERS).as_deref(), env::var_os("HOME").as_deref())
}

/// The file of the plugin of this name, in the first folder that has one.
///
/// # Errors
/// The name is not valid, or no folder has it; the error lists the plugins that exist.
pub fn find(name: &str) -> Result<PathBuf, PluginError> {
    find_in(&folders(), name)
}

/// All plugins in the folders, by name. Each is loaded to check it. Of two with one name, the one that [`find`] finds.
pub fn list() -> Vec<FoundPlugin> {
    let files = files_in(&folders());
    let found = |(name, path): (String, PathBuf)| {
        let plugin = PluginBackend::load(PluginConfig::new(&path));
        let plugin = plugin.and_then(|plugin| plugin.expected_as(&name));
        FoundPlugin { name, path, plugin }
    };
    files.into_iter().map(found).collect()
}

fn folders_by(variable: Option<&OsStr>, home: Option<&OsStr>) -> Vec<PathBuf> {
    // The cluster's owner has another working folder, so a relative path would lead elsewhere.
    let absolute = |path: &PathBuf| path.is_absolute();
    match variable.filter(|variable| !variable.is_empty()) {
        Some(variable) => env::split_paths(variable).filter(absolute).collect(),
        None => {
            let own = home.map(|home| Path::new(home).join(OWN)).filter(absolute);
            own.into_iter().chain(HOST.map(PathBuf::from)).collect()
        }
    }
}

fn find_in(folders: &[PathBuf], name: &str) -> Result<PathBuf, PluginError> {
    if !is_name(name) {
        return Err(PluginError::Name(name.to_owned()));
    }
    let file = file_of(name);
    let found = folders.iter().map(|folder| folder.join(&file)).find(|path| path.symlink_metadata().is_ok());
    found.ok_or_else(|| PluginError::Unknown {
        name: name.to_owned(),
        file,
        looked: folders.to_vec(),
        there: files_in(folders).into_keys().collect(),
    })
}

fn files_in(folders: &[PathBuf]) -> BTreeMap<String, PathBuf> {
    let mut files = BTreeMap::new();
    // A folder that does not exist has no plugins.
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten());
    for path in entries.map(|entry| entry.path()) {
        if let Some(name) = name_of(&path) {
            files.entry(name).or_insert(path);
        }
    }
    files
}

fn file_of(name: &str) -> String {
    format!("{BEFORE}{}{AFTER}", name.replace('-', "_"))
}

fn name_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_prefix(BEFORE)?.strip_suffix(AFTER)?.replace('_', "-");
    is_name(&name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_replaces_the_usual_folders() {
        let check = |variable: Option<&str>, home: Option<&str>, expected: &[&str]| {
            let folders = folders_by(variable.map(OsStr::new), home.map(OsStr::new));
            assert_eq!(folders, expected.iter().map(PathBuf::from).collect::<Vec<_>>());
        };
        check(None, Some("/home/a"), &["/home/a/.local/lib/xcluster", HOST[0], HOST[1]]);
        check(Some(""), None, &HOST);
        check(Some("/a:b:/c"), Some("/home/a"), &["/a", "/c"]);
    }

    #[test]
    fn the_first_folder_wins_and_an_unknown_name_lists_what_there_is() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folders = [one.path().to_owned(), two.path().to_owned(), PathBuf::from("/nonexistent")];
        for file in [
            one.path().join("libxcluster_net_wire.so"),
            two.path().join("libxcluster_net_wire.so"),
            two.path().join("libxcluster_net_my_switch.so"),
            two.path().join("libother.so"),
        ] {
            fs::write(file, "").unwrap();
        }
        assert_eq!(find_in(&folders, "wire").unwrap(), one.path().join("libxcluster_net_wire.so"));
        assert_eq!(find_in(&folders, "my-switch").unwrap(), two.path().join("libxcluster_net_my_switch.so"));
        let said = find_in(&folders, "rope").unwrap_err().to_string();
        assert!(said.contains("no libxcluster_net_rope.so in `"), "{said}");
        assert!(said.ends_with("`/nonexistent`; there are `my-switch`, `wire`"), "{said}");
        for wrong in ["", "../x", "A", "a/b", "-a", "1a", "a_b"] {
            assert!(matches!(find_in(&folders, wrong), Err(PluginError::Name(_))), "{wrong}");
        }
    }
}
