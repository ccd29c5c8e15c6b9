//! Options beyond the topology: the guest, QEMU, deadlines. Named files must exist; their contents are not checked here.

use std::path::{Path, PathBuf};

use xcluster_core::plan::{Accel, GuestSource, Identity, Options};

use super::sourced_value::Reader;
use super::{netns, parse};
use crate::args::{AccelArg, ClusterArgs, GuestArgs, IdentityArg};

/// Options from args and variables.
pub(crate) fn merge<'a>(args: &'a ClusterArgs, reader: &mut Reader<'a>) -> Options {
    let ClusterArgs { guest, run, .. } = args;
    let mut options = Options::default();
    options.backend.clone_from(&args.nets.net);
    let netns = reader.value("--netns", args.nets.netns.as_deref(), "XCLUSTER_NETNS", netns::parse);
    options.netns = netns.unwrap_or_else(netns::default);
    options.guest = guest_source(guest, reader);
    options.ready = guest.ready.as_deref().and_then(|sign| reader.value("--ready", Some(sign), "", parse::readiness));
    options.identity = match guest.identity {
        None | Some(IdentityArg::Mac) => Identity::Mac,
        Some(IdentityArg::Kernel) => Identity::Kernel,
    };
    options.accel = match run.accel {
        None | Some(AccelArg::Auto) => Accel::Auto,
        Some(AccelArg::Kvm) => Accel::Kvm,
        Some(AccelArg::Tcg) => Accel::Tcg,
    };
    if let Some(machine) = reader.text("--machine", run.machine.as_deref(), "__machine") {
        options.machine = machine.text.to_owned();
    }
    options.login = !guest.no_login;
    options.uplink = args.nets.uplink;
    options.configure = !guest.no_configure;
    options.overlays = overlays(guest, reader);
    options.deadline = reader.value("--timeout", run.timeout.as_deref(), "", parse::duration);
    options.boots = reader.value("--boots", run.boots.as_deref(), "", parse::at_least_one);
    options.qemu_args = qemu_args(&run.qemu_arg, reader);
    if let Some(qemu) = qemu(run.qemu.as_deref(), reader) {
        options.qemu = qemu;
    }
    options
}

fn guest_source(guest: &GuestArgs, reader: &mut Reader<'_>) -> GuestSource {
    let mut file = |option: &str, path: &Option<PathBuf>| path.as_deref().map(|path| existing(option, path, reader));
    let (kernel, initramfs) = (file("--kernel", &guest.kernel), file("--initrd", &guest.initrd));
    match file("--disk", &guest.disk) {
        Some(image) => GuestSource::Disk { image },
        None if kernel.is_some() || initramfs.is_some() => GuestSource::Kernel { kernel, initramfs },
        None => GuestSource::Standard,
    }
}

/// The absolute path of a file, since the owner of the cluster runs elsewhere.
fn existing(origin: &str, path: &Path, reader: &mut Reader<'_>) -> PathBuf {
    if let Err(error) = std::fs::metadata(path) {
        reader.problem(origin, format!("cannot read `{}`: {error}", path.display()));
    }
    absolute(path)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn overlays(guest: &GuestArgs, reader: &mut Reader<'_>) -> Vec<PathBuf> {
    if !guest.overlay.is_empty() {
        return guest.overlay.iter().filter_map(|path| overlay("--overlay", path, reader)).collect();
    }
    let names = reader.variables().value("XOVLS").unwrap_or_default();
    names.split_whitespace().filter_map(|name| overlay("XOVLS", Path::new(name), reader)).collect()
}

/// A path as it is; a plain name that is no path here from the first folder that has it.
fn overlay(origin: &str, path: &Path, reader: &mut Reader<'_>) -> Option<PathBuf> {
    if path.exists() {
        return Some(absolute(path));
    }
    let is_name = path.components().count() == 1 && !path.to_string_lossy().contains('/');
    let folders = reader.variables().value("XCLUSTER_OVLPATH").unwrap_or_default();
    let folders: Vec<&str> = folders.split(':').filter(|folder| is_name && !folder.is_empty()).collect();
    let found = folders.iter().map(|folder| Path::new(folder).join(path)).find(|candidate| candidate.exists());
    if found.is_none() {
        let where_else = match folders.as_slice() {
            [] if is_name => ", and XCLUSTER_OVLPATH is not set".to_owned(),
            [] => String::new(),
            folders => format!(", nor in {}", folders.join(", ")),
        };
        reader.problem(origin, format!("overlay `{}` does not exist{where_else}", path.display()));
    }
    found.as_deref().map(absolute)
}

fn qemu_args(typed: &[String], reader: &Reader<'_>) -> Vec<String> {
    if typed.is_empty() {
        let args = reader.variables().value("__kvm_opt").unwrap_or_default();
        args.split_whitespace().map(str::to_owned).collect()
    } else {
        typed.to_vec()
    }
}

fn qemu(typed: Option<&Path>, reader: &Reader<'_>) -> Option<PathBuf> {
    typed.or_else(|| reader.variables().value("__kvm").map(Path::new)).map(program)
}

/// A name is looked up when the program is started; a path is made absolute.
pub(super) fn program(path: &Path) -> PathBuf {
    if path.to_string_lossy().contains('/') { absolute(path) } else { path.to_owned() }
}
