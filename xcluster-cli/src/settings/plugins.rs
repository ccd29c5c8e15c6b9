//! Which backends are loaded at run time: those that were typed, and those that a name leads to which no backend of ours has.
//! Where they are found and whether they may be loaded is the library's affair.

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

/// Backends that need not be loaded.
const OURS: [&str; 4] = [BridgeBackend::NAME, UserBackend::NAME, OvsBackend::NAME, ScriptBackend::NAME];

/// The files of the plugins. They are absolute, since the owner of the cluster runs elsewhere.
///
/// # Errors
/// A plugin that was typed is not there.
pub(super) fn files(typed: &[PathBuf], topology: &Topology, options: &Options) -> Result<Vec<PathBuf>, Failure> {
    let mut files = typed.iter().map(|plugin| file(plugin)).collect::<Result<Vec<_>, _>>()?;
    let named = topology.nets.values().filter_map(|net| net.backend.as_deref()).chain(options.backend.as_deref());
    for name in named.filter(|name| !OURS.contains(name)) {
        // One that is not there may be the name of one that was typed as a path; else the plan tells.
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
/// One cannot be used, or has the name of another backend.
pub(super) fn add(files: &[PathBuf], registry: &mut Registry) -> Result<(), Failure> {
    for plugin in load(files)? {
        let path = plugin.path().display().to_string();
        registry.add(Arc::new(plugin) as Arc<dyn NetBackend>).map_err(|error| {
            Failure::from_error(Exit::INVALID, &error).context(format!("cannot use plugin `{path}`"))
        })?;
    }
    Ok(())
}

/// What to type next where a name is nobody's.
pub(super) fn hint(registry: &Registry, topology: &Topology, options: &Options) -> Option<String> {
    let named = topology.nets.values().filter_map(|net| net.backend.as_deref()).chain(options.backend.as_deref());
    let unknown = |name: &&str| registry.find(name).is_err() && !OURS.contains(name);
    named.into_iter().find(unknown)?;
    Some(
        "`xcluster plugins` lists the backends that can be loaded by their names, and `--plugin PATH` loads one"
            .to_owned(),
    )
}

fn load(files: &[PathBuf]) -> Result<Vec<PluginBackend>, Failure> {
    files.iter().map(|file| PluginBackend::load(PluginConfig::new(file)).map_err(|error| failure(&error))).collect()
}

/// A path as it is; a name from the folders.
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
