//! Settings of a single node: the option `--node NODE:KEY=VALUE,…`, and the options of `boot`. The topology checks whether the
//! node exists.

use xcluster_core::name::NodeId;
use xcluster_core::plan::NodeBoot;
use xcluster_core::topology::NodeSpec;

use super::parse;
use super::sourced_value::Reader;
use crate::args::BootArgs;
use crate::report::Failure;
use crate::variables::Variables;

const KEYS: [&str; 6] = ["mem", "smp", "nets", "append", "expose", "forward"];

/// The boot of a node, from the options of `boot` and the variables of that node.
///
/// # Errors
/// All values that cannot be parsed.
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

/// Parses `201:mem=384,nets=0,1,2,smp=4`. A value ends at the next key, so that lists need no quotes.
pub(crate) fn node_spec(text: &str) -> Result<(NodeId, NodeSpec), String> {
    let (node, rest) =
        text.split_once(':').ok_or_else(|| format!("`{text}` lacks a `:`: write it as `201:mem=384,nets=0,1,2`"))?;
    let node: NodeId = node.parse().map_err(|error| format!("{error}"))?;
    let mut spec = NodeSpec::default();
    for (key, value) in pairs(rest)? {
        set(&mut spec, key, &value).map_err(|error| format!("{key}: {error}"))?;
    }
    Ok((node, spec))
}

fn pairs(text: &str) -> Result<Vec<(&'static str, String)>, String> {
    let mut pairs: Vec<(&'static str, String)> = Vec::new();
    for part in text.split(',') {
        let key = part.split_once('=').and_then(|(name, value)| Some((*KEYS.iter().find(|key| **key == name)?, value)));
        let twice = key.is_some_and(|(key, _)| pairs.iter().any(|(seen, _)| *seen == key));
        match (key, pairs.last_mut()) {
            (Some((key, _)), _) if twice => return Err(format!("`{key}` is given twice")),
            (Some((key, value)), _) => pairs.push((key, value.to_owned())),
            // Only kernel args may contain an `=`, as in `console=ttyS0,115200`.
            (None, Some((last, value))) if *last == "append" || !part.contains('=') => {
                value.push(',');
                value.push_str(part);
            }
            (None, _) => return Err(format!("`{part}` is not `KEY=VALUE` with one of the keys {}", KEYS.join(", "))),
        }
    }
    Ok(pairs)
}

fn set(spec: &mut NodeSpec, key: &str, value: &str) -> Result<(), String> {
    match key {
        "mem" => spec.memory = Some(parse::memory(value)?),
        "smp" => spec.cpus = Some(parse::number(value)?),
        "nets" => spec.nets = Some(parse::nets(value)?),
        "append" => spec.kernel_args = Some(value.to_owned()),
        "expose" => spec.expose = Some(parse::ports(value)?),
        _ => spec.forward = Some(parse::yes_or_no(value)?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use xcluster_core::name::NetId;

    use super::*;

    #[test]
    fn a_list_ends_at_the_next_key() {
        let (node, spec) = node_spec("201:mem=384,nets=0,1,2,smp=4,append=console=ttyS0,115200 quiet").unwrap();
        assert_eq!(node.number(), 201);
        assert_eq!(spec.memory, Some(384));
        assert_eq!(spec.nets, Some([0, 1, 2].map(NetId::new).to_vec()));
        assert_eq!(spec.cpus, Some(4));
        assert_eq!(spec.kernel_args.as_deref(), Some("console=ttyS0,115200 quiet"));
        let (_, spec) = node_spec("vm-001:expose=80,443,forward=yes").unwrap();
        assert_eq!((spec.expose, spec.forward), (Some(vec![80, 443]), Some(true)));
    }

    #[test]
    fn a_mistake_is_reported_with_its_key() {
        let check = |text: &str, message: &str| assert_eq!(node_spec(text).unwrap_err(), message, "{text}");
        check("201", "`201` lacks a `:`: write it as `201:mem=384,nets=0,1,2`");
        check("241:mem=1", "`241` is not a node: workers are 1–200, routers 201–220, testers 221–240");
        check("1:mem=x", "mem: `x` is not a number: write memory as `384` (MiB) or `2G`");
        check("1:nets=0,300", "nets: `300` is not a net: nets are numbered 0–255");
        check("1:mem=1,mem=2", "`mem` is given twice");
        check("1:", "`` is not `KEY=VALUE` with one of the keys mem, smp, nets, append, expose, forward");
        check(
            "1:nets=0,ram=3",
            "`ram=3` is not `KEY=VALUE` with one of the keys mem, smp, nets, append, expose, forward",
        );
        check("1:forward=1", "forward: `1` is neither `yes` nor `no`");
    }
}
