//! The topology: the file, changed by variables and options. The topology itself checks the result.

use std::path::Path;

use xcluster_core::name::{NodeId, Role};
use xcluster_core::topology::{NodeSpec, RoleSpec, Topology};

use super::sourced_value::{Reader, SourcedValue};
use super::{node, parse};
use crate::args::ClusterArgs;
use crate::exit::Exit;
use crate::report::Failure;

/// Largest topology file in bytes. It bounds the memory that `--topology /dev/zero` takes.
const FILE_MAX: u64 = 1 << 20;

/// The topology of a file; the default topology without a file.
///
/// # Errors
/// The file cannot be read, or has mistakes: all of them, with their lines.
pub(crate) fn read(file: Option<&Path>) -> Result<Topology, Failure> {
    let Some(file) = file else { return Ok(Topology::default()) };
    let what = format!("cannot use topology file `{}`", file.display());
    let text = text_of(file).map_err(|error| Failure::from_error(Exit::INVALID, &error).context(what.clone()))?;
    let topology = if is_json(file, &text) { Topology::from_json(&text) } else { Topology::from_toml(&text) };
    topology.map_err(|problems| Failure::from_error(Exit::INVALID, &problems).context(what))
}

fn text_of(file: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(file)?.take(FILE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(std::io::Error::other(format!("it is larger than {FILE_MAX} bytes")));
    }
    Ok(text)
}

/// The file's name decides, else its first character: no TOML begins with a brace.
fn is_json(file: &Path, text: &str) -> bool {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => true,
        Some("toml") => false,
        _ => text.trim_start().starts_with('{'),
    }
}

/// Applies variables and options to a topology.
pub(crate) fn merge<'a>(mut topology: Topology, args: &'a ClusterArgs, reader: &mut Reader<'a>) -> Topology {
    merge_counts(&mut topology, args, reader);
    merge_nets(&mut topology, args, reader);
    merge_all_roles(&mut topology, args, reader);
    if let Some(mtu) = reader.value("--mtu", args.mtu.as_deref(), "__mtu", parse::mtu) {
        topology.mtu = mtu;
    }
    merge_numbered(&mut topology, reader);
    merge_nodes(&mut topology, args, reader);
    topology
}

fn merge_counts<'a>(topology: &mut Topology, args: &'a ClusterArgs, reader: &mut Reader<'a>) {
    let counts = [
        (Role::Workers, "--nvm", &args.nvm, "__nvm"),
        (Role::Routers, "--nrouters", &args.nrouters, "__nrouters"),
        (Role::Testers, "--ntesters", &args.ntesters, "__ntesters"),
    ];
    for (role, option, typed, variable) in counts {
        let Some(sourced) = reader.text(option, typed.as_deref(), variable) else { continue };
        let capacity = role.capacity();
        let count = reader.parse(sourced, |text| match parse::number::<u16>(text) {
            Ok(count) if count <= capacity => Ok(count),
            Err(error) if !text.bytes().all(|b| b.is_ascii_digit()) => Err(error),
            _ => Err(format!("{text} {role} are too many: at most {capacity}")),
        });
        if let Some(count) = count {
            let spec = topology.role_mut(role);
            spec.count = Some(count);
            // The file's list of numbers is another way to set the count.
            spec.ids = None;
        }
    }
}

fn merge_nets<'a>(topology: &mut Topology, args: &'a ClusterArgs, reader: &mut Reader<'a>) {
    let nets = [
        (Role::Workers, "--nets-vm", &args.nets_vm, "__nets_vm"),
        (Role::Routers, "--nets-router", &args.nets_router, "__nets_router"),
        (Role::Testers, "--nets-tester", &args.nets_tester, "__nets_tester"),
    ];
    for (role, option, typed, variable) in nets {
        if let Some(nets) = reader.value(option, typed.as_deref(), variable, parse::nets) {
            topology.role_mut(role).nets = Some(nets);
        }
    }
}

fn merge_all_roles<'a>(topology: &mut Topology, args: &'a ClusterArgs, reader: &mut Reader<'a>) {
    let memory = reader.value("--mem", args.mem.as_deref(), "__mem", parse::memory);
    let cpus = reader.value("--smp", args.smp.as_deref(), "__smp", parse::number);
    let append = reader.text("--append", args.append.as_deref(), "__append").map(|sourced| sourced.text);
    for role in Role::ALL {
        let RoleSpec { memory: role_memory, cpus: role_cpus, kernel_args, .. } = topology.role_mut(role);
        *role_memory = memory.or(*role_memory);
        *role_cpus = cpus.or(*role_cpus);
        if let Some(append) = append {
            *kernel_args = Some(append.to_owned());
        }
    }
}

/// Variables of single nodes. Variables of nodes that this cluster does not have are ignored: shells export them for all
/// clusters.
fn merge_numbered<'a>(topology: &mut Topology, reader: &mut Reader<'a>) {
    let planned: Vec<NodeId> = topology.nodes().into_iter().map(|node| node.id).collect();
    let variables = reader.variables();
    let mut each = |prefix: &str, set: fn(&mut NodeSpec, &str) -> Result<(), String>| {
        for (origin, number, text) in variables.numbered(prefix) {
            let Ok(node) = number.parse::<NodeId>() else {
                reader.problem(origin, format!("there is no node {number}: the last is 240"));
                continue;
            };
            if planned.contains(&node) {
                let mut spec = NodeSpec::default();
                let read = reader.parse(SourcedValue { origin, text }, |text| set(&mut spec, text));
                if read.is_some() {
                    topology.node_mut(node).merge(spec);
                }
            }
        }
    };
    each("__nets", |spec, text| parse::nets(text).map(|nets| spec.nets = Some(nets)));
    each("__mem", |spec, text| parse::memory(text).map(|memory| spec.memory = Some(memory)));
    each("__smp", |spec, text| parse::number(text).map(|cpus| spec.cpus = Some(cpus)));
    each("__append", |spec, text| {
        spec.kernel_args = Some(text.to_owned());
        Ok(())
    });
}

fn merge_nodes<'a>(topology: &mut Topology, args: &'a ClusterArgs, reader: &mut Reader<'a>) {
    for text in &args.node {
        if let Some((node, spec)) = reader.parse(SourcedValue { origin: "--node", text }, node::node_spec) {
            topology.node_mut(node).merge(spec);
        }
    }
}
