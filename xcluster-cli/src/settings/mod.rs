//! The settings of a cluster: options, variables, topology file and defaults, merged in this order of precedence and checked.
//! Files are read here; nothing is changed.
//!
//! * [`Settings`]: the result, which is sent to the owner of the cluster.
//! * `sourced_value`: a value as text, with the option or variable that it came from.
//! * `parse`: the syntax of values.
//! * `topology`: the topology file, and the options that change it.
//! * `options`: all settings beyond the topology.
//! * `node`: settings of a single node, for `--node` and `boot`.
//! * `backends`: settings of backends.
//! * `netns`: the network namespace.
//! * `script`: the net-setup script.
//! * `plugins`: the plugins to load.
//! * `default_backend`: the backend of nets that name none.

mod backends;
mod default_backend;
mod netns;
mod node;
mod options;
mod parse;
mod plugins;
mod script;
mod sourced_value;
mod topology;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xcluster_core::Builder;
use xcluster_core::external::{ScriptBackend, ScriptConfig};
use xcluster_core::name::ClusterName;
use xcluster_core::net::{NetBackend, Registry};
use xcluster_core::plan::{Options, Plan};
use xcluster_core::topology::Topology;
use xcluster_net_bridge::BridgeBackend;
use xcluster_net_ovs::OvsBackend;
use xcluster_net_user::UserBackend;

use crate::args::{ClusterArgs, NameArg};
use crate::report::Failure;
use crate::variables::Variables;

pub(crate) use default_backend::DefaultBackend;
pub(crate) use netns::of_caller;
pub(crate) use node::node_boot;
pub(crate) use parse::duration;
pub(crate) use sourced_value::Reader;

/// The name of a cluster without a name.
pub(crate) const DEFAULT_NAME: &str = "default";

/// A cluster to plan or start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Its name.
    pub(crate) name: ClusterName,
    /// Its nets and nodes.
    pub(crate) topology: Topology,
    /// Options beyond the topology.
    pub(crate) options: Options,
    /// The net-setup script, if there is one.
    pub(crate) script: Option<ScriptConfig>,
    /// Whether the cluster is only opened, and its nodes wait for `boot`.
    pub(crate) no_nodes: bool,
    /// The files of the plugins to load.
    pub(crate) plugins: Vec<PathBuf>,
}

impl Settings {
    /// Merges args, variables and the topology file.
    ///
    /// # Errors
    /// All values that cannot be parsed.
    pub(crate) fn new(args: &ClusterArgs, variables: &Variables) -> Result<Self, Failure> {
        let file = topology::read(args.topology.as_deref())?;
        let mut reader = Reader::new(variables);
        let name = reader.value("--name", args.name.name.as_deref(), "XCLUSTER_NAME", ClusterName::new);
        let mut topology = topology::merge(file, args, &mut reader);
        let mut options = options::merge(args, &mut reader);
        backends::put(&mut topology, args, &mut reader);
        let script = script::merge(args, &mut topology, &mut options, &mut reader);
        reader.finish()?;
        let plugins = plugins::files(&args.nets.plugin, &topology, &options)?;
        let name = name.unwrap_or_else(default_name);
        Ok(Self { name, topology, options, script, no_nodes: false, plugins })
    }

    /// The backends of the command line, the preferred one first, without the topology's settings.
    ///
    /// # Errors
    /// A plugin cannot be loaded.
    pub(crate) fn backends(&self) -> Result<Registry, Failure> {
        let mut registry = Registry::new();
        let bridge: Arc<dyn NetBackend> = Arc::new(BridgeBackend::default());
        let user: Arc<dyn NetBackend> = Arc::new(UserBackend::default());
        let ovs: Arc<dyn NetBackend> = Arc::new(OvsBackend::default());
        let script = self.script.clone().map(|config| Arc::new(ScriptBackend::new(config)) as Arc<dyn NetBackend>);
        for backend in [bridge, user, ovs].into_iter().chain(script) {
            registry.add(backend).expect("their names differ");
        }
        plugins::add(&self.plugins, &mut registry)?;
        Ok(registry)
    }

    /// The builder of the cluster.
    ///
    /// # Errors
    /// A plugin cannot be loaded.
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        let Self { name, topology, options, .. } = self.clone();
        Ok(Builder::new().backends(self.backends()?).name(name).topology(topology).options(options))
    }

    /// The plan of a start with these settings.
    ///
    /// # Errors
    /// All mistakes of the topology, and everything that a backend cannot carry.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let backends = self.backends()?;
        let plan = Plan::new(self.name.clone(), &self.topology, self.options.clone(), &backends);
        plan.map_err(|problems| {
            let hint = plugins::hint(&backends, &self.topology, &self.options);
            Failure { hint, ..Failure::from(&problems) }
        })
    }
}

/// The name of the command's cluster.
///
/// # Errors
/// The text is not a valid name.
pub(crate) fn cluster_name(arg: &NameArg, variables: &Variables) -> Result<ClusterName, Failure> {
    let mut reader = Reader::new(variables);
    let name = reader.value("--name", arg.name.as_deref(), "XCLUSTER_NAME", ClusterName::new);
    reader.finish()?;
    Ok(name.unwrap_or_else(default_name))
}

fn default_name() -> ClusterName {
    ClusterName::new(DEFAULT_NAME).expect("the constant is a valid name")
}

#[cfg(test)]
mod tests;
