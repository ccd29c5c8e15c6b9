//! The plugins to load: those of `--plugin`, and those whose name is used as a backend. The library finds the files and checks
//! their permissions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xcluster_core::external::plugin::find;
use xcluster_core::external::{PluginBackend, PluginConfig, PluginError, ScriptBackend};
use xcluster_core::net::{NetBackend, Registry};
use xcluster_core::plan::Options;
use xcluster_core::topology::Topology;
use xcluster_net_bridge::BridgeBackend;
use xcluster_net_ovs::OvsBackend;
use xcluster_net_user::UserBackend;

use super::options::program;
use crate::exit::Exit;
use crate::report::Failure;

/// Backends that are built in.
const BUILT_IN: [&str; 4] = [BridgeBackend::NAME, UserBackend::NAME, OvsBackend::NAME, ScriptBackend::NAME];

/// The files of the plugins. They are absolute, since the owner of the cluster runs elsewhere.
///
/// # Errors
/// A plugin of `--plugin` does not exist.
pub(super) fn files(typed: &[PathBuf], topology: &Topology, options: &Options) -> Result<Vec<PathBuf>, Failure> {
    let mut files = typed.iter().map(|plugin| file(plugin)).collect::<Result<Vec<_>, _>>()?;
    let named = topology.nets.values().filter_map(|net| net.backend.as_deref()).chain(options.backend.as_deref());
    for name in named.filter(|name| !BUILT_IN.contains(name)) {
        // A name without a file may be the name of a plugin that was given as a path. If not, the plan reports it.
        let Ok(found) = find(name) else { continue };
        let typed =
            typed.iter().any(|plugin| plugin.as_os_str() == name) || load(&files)?.iter().any(|p| p.name() == name);
        if !typed && !files.contains(&found) {
            files.push(found);
        }
    }
    Ok(files)
}

/// Adds the plugins of these files to the backends.
///
/// # Errors
/// A plugin cannot be used, or has the name of another backend.
pub(super) fn add(files: &[PathBuf], registry: &mut Registry) -> Result<(), Failure> {
    for plugin in load(files)? {
        let path = plugin.path().display().to_string();
        registry.add(Arc::new(plugin) as Arc<dyn NetBackend>).map_err(|error| {
            Failure::from_error(Exit::INVALID, &error).context(format!("cannot use plugin `{path}`"))
        })?;
    }
    Ok(())
}

/// The hint for an unknown backend.
pub(super) fn hint(registry: &Registry, topology: &Topology, options: &Options) -> Option<String> {
    let named = topology.nets.values().filter_map(|net| net.backend.as_deref()).chain(options.backend.as_deref());
    let unknown = |name: &&str| registry.find(name).is_err() && !BUILT_IN.contains(name);
    named.into_iter().find(unknown)?;
    Some("`xcluster plugins` lists the plugins that can be loaded by name, `--plugin PATH` loads a file".to_owned())
}

fn load(files: &[PathBuf]) -> Result<Vec<PluginBackend>, Failure> {
    files.iter().map(|file| PluginBackend::load(PluginConfig::new(file)).map_err(|error| failure(&error))).collect()
}

/// The file of a plugin: a path, or a name that is looked up in the folders.
fn file(plugin: &Path) -> Result<PathBuf, Failure> {
    match plugin.to_str().filter(|plugin| !plugin.contains('/')) {
        Some(name) => find(name).map_err(|error| failure(&error)),
        None => Ok(program(plugin)),
    }
}

fn failure(error: &PluginError) -> Failure {
    let exit = match error {
        PluginError::Unknown { .. } | PluginError::Name(_) | PluginError::Open { .. } => Exit::INVALID,
        _ => Exit::HOST,
    };
    let hint = error.remedy().map(|remedy| format!("`{remedy}`"));
    Failure { hint, ..Failure::from_error(exit, error) }
}
