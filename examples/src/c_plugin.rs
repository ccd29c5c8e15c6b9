//! The switch in C as a backend: built with its makefile, and loaded.

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;
use xcluster_core::external::{PluginBackend, PluginConfig};

/// The plugin. The first call builds and loads it.
///
/// # Panics
/// It cannot be built or loaded.
pub fn c_plugin() -> PluginBackend {
    static PLUGIN: OnceLock<PluginBackend> = OnceLock::new();
    let make = || {
        // Once it is loaded, which it stays until the process ends, its folder can be removed.
        let folder = TempDir::new().expect("a temporary folder can be made");
        make_in(folder.path());
        let config = PluginConfig::new(folder.path().join("libxcluster_net_c_switch.so"));
        PluginBackend::load(config).unwrap_or_else(|error| panic!("{error}"))
    };
    PLUGIN.get_or_init(make).clone()
}

fn make_in(folder: &Path) {
    let mut make = Command::new("make");
    make.arg("-C").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-c"));
    // The flags of a `make` that runs this test must not reach this one.
    make.arg(format!("TO={}", folder.display())).env_remove("MAKEFLAGS");
    let output = make.output().unwrap_or_else(|error| panic!("make: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
