//! The switch in C as a backend: made by its own makefile, and loaded. What it is put to is for the tests that use it.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;
use xcluster_core::external::{PluginBackend, PluginConfig};

/// The plugin; it is made once.
///
/// # Panics
/// It cannot be made or loaded.
pub fn c_plugin() -> PluginBackend {
    static PLUGIN: OnceLock<PluginBackend> = OnceLock::new();
    let make = || {
        // Its folder may go when it is loaded, which is for the life of the process.
        let folder = TempDir::new().expect("there is room for a folder");
        make_in(folder.path());
        let config = PluginConfig::new(folder.path().join("libxcluster_net_c_switch.so"));
        PluginBackend::load(config).unwrap_or_else(|error| panic!("{error}"))
    };
    PLUGIN.get_or_init(make).clone()
}

fn make_in(folder: &Path) {
    let mut make = Command::new("make");
    make.arg("-C").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-c"));
    // What an outer make says is not meant for this one.
    make.arg(format!("TO={}", folder.display())).env_remove("MAKEFLAGS");
    let output = make.output().unwrap_or_else(|error| panic!("make: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
