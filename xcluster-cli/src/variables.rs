//! The environment variables that xcluster reads: names, meanings and values. `settings` interprets the values. No other variable
//! changes a cluster.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// A variable that xcluster reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Variable {
    /// Its name; a final `<N>` stands for the number of a node.
    pub(crate) name: &'static str,
    /// The option of which it is the default, if there is one.
    pub(crate) option: Option<&'static str>,
    /// Its meaning.
    pub(crate) meaning: &'static str,
}

const fn variable(name: &'static str, option: &'static str, meaning: &'static str) -> Variable {
    Variable { name, option: Some(option), meaning }
}

const fn without_option(name: &'static str, meaning: &'static str) -> Variable {
    Variable { name, option: None, meaning }
}

/// All variables that xcluster reads. Names with underscores come from the original xcluster.
pub(crate) const KNOWN: &[Variable] = &[
    variable("XCLUSTER_NAME", "--name", "name of the command's cluster"),
    variable("__nvm", "--nvm", "number of workers"),
    variable("__nrouters", "--nrouters", "number of routers"),
    variable("__ntesters", "--ntesters", "number of testers"),
    variable("__nets_vm", "--nets-vm", "nets of each worker, in the order of its NICs"),
    variable("__nets_router", "--nets-router", "nets of each router"),
    variable("__nets_tester", "--nets-tester", "nets of each tester"),
    variable("__nets<N>", "--node", "nets of node N"),
    variable("__mem", "--mem", "memory of each node in MiB"),
    variable("__mem<N>", "--node", "memory of node N"),
    variable("__smp", "--smp", "processors of each node"),
    variable("__smp<N>", "--node", "processors of node N"),
    variable("__append", "--append", "args added to each kernel's command line"),
    variable("__append<N>", "--node", "args added to the kernel's command line of node N"),
    variable("__mtu", "--mtu", "MTU of all nets"),
    variable("__net_setup", "--net-setup", "net-setup script"),
    variable("XCLUSTER_NETNS", "--netns", "network namespace of bridges"),
    variable("__machine", "--machine", "QEMU's machine type"),
    variable("__kvm", "--qemu", "the QEMU to run"),
    variable("__kvm_opt", "--qemu-arg", "additional args for every QEMU, split at white space"),
    variable("XOVLS", "--overlay", "names of overlays, looked up in XCLUSTER_OVLPATH"),
    without_option("XCLUSTER_OVLPATH", "folders with overlays, separated by colons"),
    without_option("XCLUSTER_PLUGINS", "folders with plugins, separated by colons, instead of the default ones"),
    without_option("XCLUSTER_TELNET_BASE", "telnet to node N is 127.0.0.1, this port + N"),
    without_option("XCLUSTER_SSH_BASE", "ssh to node N is 127.0.0.1, this port + N"),
    without_option("XCLUSTER_K8S_PORT", "port on 127.0.0.1 that leads to port 8080 of node 1"),
    without_option("XCLUSTER_MCAST_BASE", "last byte of the multicast group of net 0; that of net N is this + N"),
    without_option("XCLUSTER_HOOK", "shell file with your own commands, read before every command"),
    without_option("XCLUSTER_LOG", "log level on standard error: error, warn, info, debug, trace"),
    without_option("XDG_RUNTIME_DIR", "parent of the runtime folders of clusters; else the temporary folder"),
    without_option("XDG_CACHE_HOME", "parent of the cache of guests; else `~/.cache`"),
    without_option("SUDO_UID", "user id of the caller of sudo, the default user of `nsadd` and `nsdel`"),
    without_option("NO_COLOR", "any value turns colours off"),
];

/// The variable of an option. The option may be spelt with underscores, or belong to a single node: `mem201`.
pub(crate) fn of_option(option: &str) -> Option<String> {
    let shell = format!("__{}", option.replace('-', "_"));
    let by_option = KNOWN.iter().find(|variable| {
        variable.option.and_then(|known| known.strip_prefix("--")) == Some(option) && !variable.name.contains('<')
    });
    match by_option {
        Some(variable) => Some(variable.name.to_owned()),
        None => KNOWN.iter().any(|variable| variable.covers(&shell)).then_some(shell),
    }
}

/// The values of the variables that are set.
#[derive(Debug, Clone, Default)]
pub(crate) struct Variables {
    values: BTreeMap<String, String>,
}

impl Variables {
    /// The variables of an environment. An empty value counts as unset, since shell scripts unset variables this way.
    pub(crate) fn new(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let texts = environment.into_iter().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            // A value that is not UTF-8 is kept, so that it is refused and not ignored.
            let value = value.to_string_lossy().into_owned();
            (!value.is_empty()).then_some((name, value))
        });
        let known = texts.filter(|(name, _)| KNOWN.iter().any(|variable| variable.covers(name)));
        Self { values: known.collect() }
    }

    /// The value of a variable.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The variables of a pattern such as `__mem<N>`: name, number, value.
    pub(crate) fn numbered(&self, prefix: &str) -> impl Iterator<Item = (&str, &str, &str)> {
        self.values.iter().filter_map(move |(name, value)| {
            let number = name.strip_prefix(prefix).filter(|rest| is_number(rest))?;
            Some((name.as_str(), number, value.as_str()))
        })
    }

    /// The names and values of the variables that a known variable or pattern covers.
    pub(crate) fn of(&self, variable: &Variable) -> impl Iterator<Item = (&str, &str)> {
        let covered = self.values.iter().filter(|(name, _)| variable.covers(name));
        covered.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl Variable {
    fn covers(&self, name: &str) -> bool {
        match self.name.strip_suffix("<N>") {
            Some(prefix) => name.strip_prefix(prefix).is_some_and(is_number),
            None => name == self.name,
        }
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
impl Variables {
    /// Variables with these values.
    pub(crate) fn with<const N: usize>(values: [(&str, &str); N]) -> Self {
        Self::new(values.map(|(name, value)| (name.into(), value.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_variables_are_read() {
        let variables = Variables::with([("__nvm", "3"), ("__mtu", ""), ("HOME", "/root"), ("__memory", "1")]);
        assert_eq!(variables.values.keys().collect::<Vec<_>>(), ["__nvm"]);
    }

    /// These are set by scripts and profiles that were written for the original xcluster.
    #[test]
    fn the_original_xclusters_variables_are_read() {
        let names = "__nvm __nrouters __ntesters __nets_vm __nets_router __nets7 __mem __mem7 __smp __smp7 __append __append7 \
                     __mtu __machine __kvm __kvm_opt __net_setup XCLUSTER_HOOK XCLUSTER_TELNET_BASE XCLUSTER_SSH_BASE \
                     XCLUSTER_K8S_PORT XCLUSTER_MCAST_BASE XCLUSTER_OVLPATH XOVLS";
        for name in names.split_whitespace() {
            assert!(KNOWN.iter().any(|variable| variable.covers(name)), "{name}");
        }
    }

    #[test]
    fn an_options_variable_is_found_in_either_spelling() {
        let check = |option: &str, name: Option<&str>| assert_eq!(of_option(option).as_deref(), name, "{option}");
        check("nets_router", Some("__nets_router"));
        check("nets-router", Some("__nets_router"));
        check("mem201", Some("__mem201"));
        check("name", Some("XCLUSTER_NAME"));
        check("qemu", Some("__kvm"));
        check("node", None);
        check("memx", None);
    }

    #[test]
    fn a_number_after_the_name_selects_one_node() {
        let variables = Variables::with([("__mem", "256"), ("__mem201", "512"), ("__memx", "1")]);
        let numbered: Vec<_> = variables.numbered("__mem").collect();
        assert_eq!(numbered, [("__mem201", "201", "512")]);
    }
}
