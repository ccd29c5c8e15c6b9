//! The net-setup script, and the folder and namespace that it runs in. A start shows whether it can be run.

use std::path::{Path, PathBuf};

use xcluster_core::external::{ScriptBackend, ScriptConfig};
use xcluster_core::plan::Options;
use xcluster_core::topology::Topology;

use super::backends;
use super::options::program;
use super::sourced_value::Reader;
use crate::args::ClusterArgs;

/// The key of the script in the topology's table.
const PROGRAM: &str = "script";

/// The script of `--net-setup`, which then carries all nets without another backend; else the script of the topology.
pub(super) fn merge(
    args: &ClusterArgs,
    topology: &mut Topology,
    options: &mut Options,
    reader: &mut Reader<'_>,
) -> Option<ScriptConfig> {
    let typed = args.nets.net_setup.as_deref();
    let typed = typed.or_else(|| reader.variables().value("__net_setup").map(Path::new));
    let in_file =
        topology.backends.get(ScriptBackend::NAME).and_then(|table| Some(PathBuf::from(table.get(PROGRAM)?.as_str()?)));
    let Some(script) = typed.map(program).or_else(|| in_file.as_deref().map(program)) else {
        if options.backend.as_deref() == Some(ScriptBackend::NAME) {
            reader.problem("--net", "`script` needs a script: add `--net-setup PROGRAM`");
        }
        return None;
    };
    if typed.is_some() {
        options.backend.get_or_insert_with(|| ScriptBackend::NAME.to_owned());
    }
    let absolute = serde_json::Map::from_iter([(PROGRAM.to_owned(), script.to_string_lossy().into())]);
    backends::merge_into(topology, ScriptBackend::NAME, absolute);
    let named = args.nets.netns.is_some() || reader.variables().value("XCLUSTER_NETNS").is_some();
    let config = ScriptConfig::new(script).with_kvm(&options.qemu).in_namespace(named);
    // The owner runs in another folder, but a script may look for its files in the user's folder.
    Some(match folder() {
        Some(folder) => config.with_folder(folder),
        None => config,
    })
}

fn folder() -> Option<PathBuf> {
    std::env::current_dir().ok()
}
