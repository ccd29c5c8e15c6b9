//! `plugins`: lists the plugins that can be loaded, or why one cannot.

use std::collections::BTreeMap;
use std::io::{Write, stderr};
use std::path::Path;

use serde::Serialize;
use xcluster_core::external::plugin::{FoundPlugin, folders, list};
use xcluster_core::net::{Capabilities, NetBackend, VmToVm};
use xcluster_core::topology::NetKind;

use crate::args::PluginsArgs;
use crate::exit::Exit;
use crate::output::{print, print_json, table};
use crate::report::{Outcome, one_line};

/// A plugin as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row<'a> {
    name: &'a str,
    path: &'a Path,
    version: Option<&'a str>,
    /// By kind of net.
    capabilities: Option<BTreeMap<NetKind, Capabilities>>,
    /// The reason why it cannot be used.
    error: Option<String>,
}

/// Lists the plugins in the folders. Each one is loaded.
pub(super) fn run(args: &PluginsArgs) -> Outcome {
    let found = list();
    let rows: Vec<Row<'_>> = found.iter().map(row).collect();
    if args.json.json { print_json(&rows) } else { print(&text(&rows)) }?;
    if rows.is_empty() {
        let folders: Vec<String> = folders().iter().map(|folder| folder.display().to_string()).collect();
        let _ = writeln!(stderr(), "no plugins in {}", folders.join(", "));
    }
    Ok(Exit::OK)
}

fn row(found: &FoundPlugin) -> Row<'_> {
    let plugin = found.plugin.as_ref().ok();
    let kinds = [NetKind::Internal, NetKind::Cluster, NetKind::External, NetKind::Other];
    Row {
        name: &found.name,
        path: &found.path,
        version: plugin.map(|plugin| plugin.version()),
        capabilities: plugin.map(|plugin| kinds.into_iter().map(|kind| (kind, plugin.capabilities(kind))).collect()),
        error: found.plugin.as_ref().err().map(|error| one_line(error)),
    }
}

fn text(rows: &[Row<'_>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let cells = rows.iter().map(|row| {
        let nets = match (&row.capabilities, &row.error) {
            (Some(capabilities), _) => nets(capabilities),
            (None, error) => error.clone().unwrap_or_default(),
        };
        [row.name.to_owned(), row.version.unwrap_or("-").to_owned(), row.path.display().to_string(), nets]
    });
    table(["NAME", "VERSION", "FILE", "NETS"], cells)
}

/// A short description of its capabilities for cluster nets.
fn nets(capabilities: &BTreeMap<NetKind, Capabilities>) -> String {
    let Some(of) = capabilities.get(&NetKind::Cluster) else { return String::new() };
    let vms = match of.vm_to_vm {
        VmToVm::None => "VMs cannot reach each other",
        VmToVm::Hub => "a hub",
        VmToVm::Switch => "a switch",
    };
    let internal = capabilities.get(&NetKind::Internal).is_some_and(|internal| internal.host_access);
    let host = if internal { ", the host is on the internal net" } else { "" };
    format!("{vms}, MTU up to {}{host}", of.mtu_max)
}
