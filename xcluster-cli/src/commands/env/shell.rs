//! `env --shell`: the values that a start would use now, as shell assignments for hooks.

use std::fmt::Display;

use xcluster_core::name::{NetId, Role};
use xcluster_core::topology::RoleSpec;

use crate::args::{ClusterArgs, NameArg};
use crate::report::Failure;
use crate::settings::Settings;
use crate::variables::Variables;

/// A line for each variable, and `__xc_names` with all their names.
pub(super) fn assignments(name: &NameArg, variables: &Variables) -> Result<String, Failure> {
    let args = ClusterArgs { name: NameArg { name: name.name.clone() }, ..ClusterArgs::default() };
    let settings = Settings::new(&args, variables)?;
    let values = values(&settings);
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    let lines = values.iter().map(|(name, value)| format!("{name}={}\n", quoted(value)));
    Ok(format!("{}__xc_names={}\n", lines.collect::<String>(), quoted(&names.join(" "))))
}

fn values(settings: &Settings) -> Vec<(&'static str, String)> {
    let Settings { topology, options, .. } = settings;
    let role = |role: Role| topology.full_role(role);
    let [nodes, routers, testers] = Role::ALL.map(role);
    let all = topology.nodes();
    let count = |role: Role| all.iter().filter(|node| node.id.role() == role).count().to_string();
    let text = |value: Option<&dyn Display>| value.map(ToString::to_string).unwrap_or_default();
    vec![
        ("XCLUSTER_NAME", settings.name.to_string()),
        ("__nvm", count(Role::Workers)),
        ("__nrouters", count(Role::Routers)),
        ("__ntesters", count(Role::Testers)),
        ("__nets_vm", nets(&nodes)),
        ("__nets_router", nets(&routers)),
        ("__nets_tester", nets(&testers)),
        ("__mem", text(nodes.memory.as_ref().map(|memory| memory as &dyn Display))),
        ("__smp", text(nodes.cpus.as_ref().map(|cpus| cpus as &dyn Display))),
        ("__append", nodes.kernel_args.unwrap_or_default()),
        ("__mtu", topology.mtu.to_string()),
        ("__machine", options.machine.clone()),
        ("__kvm", options.qemu.display().to_string()),
        ("__kvm_opt", options.qemu_args.join(" ")),
        ("__net_setup", settings.script.as_ref().map(script).unwrap_or_default()),
    ]
}

fn script(config: &xcluster_core::external::ScriptConfig) -> String {
    config.script.display().to_string()
}

fn nets(spec: &RoleSpec) -> String {
    let numbers = spec.nets.iter().flatten().map(|net: &NetId| net.to_string());
    numbers.collect::<Vec<_>>().join(",")
}

/// A text quoted for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variables: &Variables, lines: &[&str]) {
        let text = assignments(&NameArg::default(), variables).unwrap();
        for line in lines {
            assert!(text.lines().any(|l| l == *line), "`{line}` is not in:\n{text}");
        }
    }

    #[test]
    fn defaults_and_set_variables_are_resolved() {
        let defaults = ["__nvm='4'", "__nrouters='2'", "__ntesters='0'", "__nets_router='0,1,2'", "__mem='128'"];
        check(&Variables::with([]), &defaults);
        let set = Variables::with([("__nvm", "1"), ("__append", "it's"), ("XCLUSTER_NAME", "lab"), ("__mem", "1G")]);
        check(&set, &["__nvm='1'", r"__append='it'\''s'", "XCLUSTER_NAME='lab'", "__mem='1024'"]);
    }
}
