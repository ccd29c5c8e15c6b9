//! How a single node is to be booted: what was typed for it, else what its own variables say. What it is like otherwise is
//! the cluster's affair.

use xcluster_core::name::NodeId;
use xcluster_core::plan::NodeBoot;

use super::parse;
use super::sourced_value::Reader;
use crate::args::BootArgs;
use crate::report::Failure;
use crate::variables::Variables;

/// The boot of a node.
///
/// # Errors
/// Every value that cannot be read, at once.
pub(crate) fn node_boot(node: NodeId, args: &BootArgs, variables: &Variables) -> Result<NodeBoot, Failure> {
    let own = |prefix: &str| format!("{prefix}{}", node.number());
    let (nets, memory, cpus, append) = (own("__nets"), own("__mem"), own("__smp"), own("__append"));
    let mut reader = Reader::new(variables);
    let mut boot = NodeBoot::new(node);
    boot.spec.nets = reader.value("--nets", args.nets.as_deref(), &nets, parse::nets);
    boot.spec.memory = reader.value("--mem", args.mem.as_deref(), &memory, parse::memory);
    boot.spec.cpus = reader.value("--smp", args.smp.as_deref(), &cpus, parse::number);
    boot.spec.kernel_args =
        reader.text("--append", args.append.as_deref(), &append).map(|sourced| sourced.text.to_owned());
    boot.spec.expose = reader.value("--expose", args.expose.as_deref(), "", parse::ports);
    boot.qemu_args = (!args.qemu_arg.is_empty()).then(|| args.qemu_arg.clone());
    reader.finish()?;
    Ok(boot)
}
