//! What will be done: options, variables, topology file and defaults, merged in this order of rank and judged. Files are
//! read here, nothing is changed. What was typed is `args`' affair.
//!
//! * [`Settings`]: the result, which the owner of the cluster gets.
//! * `sourced`: a value as text and where it came from.
//! * `parse`: what the texts mean.
//! * `topology`: the file, and the options that change it.
//! * `options`: everything beyond the topology.
//! * `overrides`: `--node`.
//! * `boot`: a single node that is booted by itself.
//! * `backends`: what is said to backends.
//! * `netns`: which network namespace a word means.
//! * `script`: whose program wires the nets, if anybody's.
//! * `plugins`: which backends are loaded.
//! * `choose_backend`: which backend carries nets that name none.

mod backends;
mod boot;
mod default_backend;
mod netns;
mod node_spec;
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
use xcluster_core::topology::{Problems, Topology};
use xcluster_net_bridge::BridgeBackend;
use xcluster_net_ovs::OvsBackend;
use xcluster_net_user::UserBackend;

use crate::args::{ClusterArgs, NameArg};
use crate::exit::Exit;
use crate::report::Failure;
use crate::variables::Variables;

pub(crate) use boot::node_boot;
pub(crate) use default_backend::DefaultBackend;
pub(crate) use netns::of_caller;
pub(crate) use parse::duration;
pub(crate) use sourced_value::Reader;

/// The name of a cluster that nobody named.
pub(crate) const DEFAULT_NAME: &str = "default";

/// A cluster to be planned or started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Its name.
    pub(crate) name: ClusterName,
    /// Its nets and nodes.
    pub(crate) topology: Topology,
    /// What is wanted beyond the topology.
    pub(crate) options: Options,
    /// The program that wires nets, if there is one.
    pub(crate) script: Option<ScriptConfig>,
    /// Whether the nodes wait until somebody boots them.
    pub(crate) no_nodes: bool,
    /// The files of backends that are loaded.
    pub(crate) plugins: Vec<PathBuf>,
}

impl Settings {
    /// Merges what was typed with the environment and the topology file.
    ///
    /// # Errors
    /// Every value that cannot be read, at once.
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

    /// The backends that the command line knows, the preferred one first. What the topology says to them is put over them where
    /// it is used.
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
            registry.add(backend).expect("all have names of their own");
        }
        plugins::add(&self.plugins, &mut registry)?;
        Ok(registry)
    }

    /// What the library starts.
    ///
    /// # Errors
    /// A plugin cannot be loaded.
    pub(crate) fn builder(&self) -> Result<Builder, Failure> {
        let Self { name, topology, options, .. } = self.clone();
        Ok(Builder::new().backends(self.backends()?).name(name).topology(topology).options(options))
    }

    /// What a start with these settings will do.
    ///
    /// # Errors
    /// All that is wrong with the topology, or that a backend cannot carry.
    pub(crate) fn plan(&self) -> Result<Plan, Failure> {
        let backends = self.backends()?;
        let plan = Plan::new(self.name.clone(), &self.topology, self.options.clone(), &backends);
        plan.map_err(|problems| {
            let hint = plugins::hint(&backends, &self.topology, &self.options);
            Failure { hint, ..invalid(&problems) }
        })
    }
}

/// The name of the cluster that a command is about.
///
/// # Errors
/// It cannot name a cluster.
pub(crate) fn cluster_name(arg: &NameArg, variables: &Variables) -> Result<ClusterName, Failure> {
    let mut reader = Reader::new(variables);
    let name = reader.value("--name", arg.name.as_deref(), "XCLUSTER_NAME", ClusterName::new);
    reader.finish()?;
    Ok(name.unwrap_or_else(default_name))
}

fn default_name() -> ClusterName {
    ClusterName::new(DEFAULT_NAME).expect("a constant that is a name")
}

/// The failure that these problems are.
pub(crate) fn invalid(problems: &Problems) -> Failure {
    Failure::new(Exit::INVALID, problems.to_string()).context("cannot make such a cluster")
}

#[cfg(test)]
mod tests;
