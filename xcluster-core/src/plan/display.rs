//! Prints a plan for people: `Display` shows all of it. Scripts use the JSON form.

use std::fmt;

use super::{Accel, GuestSource, Identity, Plan, PlannedNet, PlannedNode, Readiness};
use crate::addr::Addressing;
use crate::name::NodeId;
use crate::topology::NodeRoute;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "cluster {}: {} nodes, {} MiB of memory", self.name, self.nodes.len(), self.memory())?;
        self.fmt_options(f)?;
        self.notes.iter().try_for_each(|note| writeln!(f, "note: {note}"))?;
        writeln!(f, "\nnets")?;
        self.nets.iter().try_for_each(|net| self.fmt_net(f, net))?;
        writeln!(f, "\nnodes")?;
        self.nodes.iter().try_for_each(|node| self.fmt_node(f, node))?;
        writeln!(f, "\nsteps")?;
        let steps = self.steps();
        steps.iter().enumerate().try_for_each(|(index, step)| writeln!(f, "  {:3}  {step}", index + 1))
    }
}

impl Plan {
    /// The numbers of all nodes as text: `1–4 201 202`.
    pub fn node_numbers(&self) -> String {
        ranges(self.nodes.iter().map(|planned| planned.node.id))
    }

    fn fmt_options(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        match &options.guest {
            GuestSource::Standard => writeln!(f, "guest: standard")?,
            GuestSource::Kernel { kernel, initramfs } => {
                let or_standard = |path: &Option<std::path::PathBuf>| match path {
                    Some(path) => path.display().to_string(),
                    None => "standard".to_owned(),
                };
                writeln!(f, "guest: kernel {}, initramfs {}", or_standard(kernel), or_standard(initramfs))?;
            }
            GuestSource::Disk { image } => writeln!(f, "guest: disk image {}", image.display())?,
        }
        for overlay in &options.overlays {
            writeln!(f, "overlay: {}", overlay.display())?;
        }
        writeln!(f, "ready when: {}", options.readiness())?;
        if options.identity == Identity::Kernel {
            writeln!(f, "identity: kernel argument")?;
        }
        let accel = match options.accel {
            Accel::Auto => "KVM if it works on this host, else TCG",
            Accel::Kvm => "KVM",
            Accel::Tcg => "TCG",
        };
        writeln!(f, "accelerator: {accel}, machine {}", options.machine)?;
        let login = if options.login { "open to everybody on the internal net, without a password" } else { "off" };
        writeln!(f, "telnet and ssh: {login}")?;
        if let Some(netns) = &self.netns {
            let uplink = if self.options.uplink { ", with an uplink" } else { "" };
            writeln!(f, "network namespace: {netns}{uplink}")?;
        }
        if !options.configures() {
            writeln!(f, "only the internal net is configured in the guests")?;
        }
        Ok(())
    }

    fn fmt_net(&self, f: &mut fmt::Formatter<'_>, planned: &PlannedNet) -> fmt::Result {
        let net = &planned.net;
        let members = self.nodes.iter().filter(|node| node.node.nets.contains(&net.id));
        let members = ranges(members.map(|node| node.node.id));
        let host = if planned.host { " and the host" } else { "" };
        let [v4, v6] = [net.ipv4().to_string(), net.ipv6().to_string()];
        writeln!(
            f,
            "  {:3}  {:8}  mtu {:5}  backend {}  {v4}/24 {v6}/120  {members}{host}",
            net.id, net.kind, net.mtu, planned.backend
        )
    }

    fn fmt_node(&self, f: &mut fmt::Formatter<'_>, planned: &PlannedNode) -> fmt::Result {
        let node = &planned.node;
        write!(f, "  {}  {}  {} MiB, {} cpus", planned.name, planned.role.singular(), node.memory, node.cpus)?;
        if node.forward {
            write!(f, ", forwards")?;
        }
        if !node.kernel_args.is_empty() {
            write!(f, ", kernel arguments: {}", node.kernel_args)?;
        }
        if let Some(args) = self.options.node_qemu_args.get(&node.id) {
            write!(f, ", args for QEMU: {}", args.join(" "))?;
        }
        writeln!(f)?;
        for nic in &planned.nics {
            let (name, net, mac) = (&nic.name, nic.port.net.id, nic.mac);
            let (v4_len, v6_len) = (Addressing::IPV4_LEN, Addressing::IPV6_LEN);
            write!(f, "    {name}  net {net}  {mac}  {}/{v4_len}  {}/{v6_len}", nic.ipv4, nic.ipv6)?;
            let host = self.nets.iter().any(|planned| planned.net.id == net && planned.host);
            if host && !nic.port.expose.is_empty() {
                let ports: Vec<String> = nic.port.expose.iter().map(ToString::to_string).collect();
                write!(f, "  tcp {} from the host", ports.join(" "))?;
            }
            writeln!(f)?;
        }
        for group in &node.bridges {
            let nets: Vec<String> = group.iter().map(ToString::to_string).collect();
            writeln!(f, "    bridges nets {}", nets.join(" "))?;
        }
        node.routes.iter().try_for_each(|route| self.fmt_route(f, route))?;
        if !node.masquerade.is_empty() {
            let nets: Vec<String> = node.masquerade.iter().map(ToString::to_string).collect();
            writeln!(f, "    masquerades nets {}", nets.join(" "))?;
        }
        Ok(())
    }

    fn fmt_route(&self, f: &mut fmt::Formatter<'_>, route: &NodeRoute) -> fmt::Result {
        let via: Vec<String> =
            route.via.iter().map(|(net, node)| self.addressing.ipv4(*net, *node).to_string()).collect();
        let to = match route.to {
            crate::topology::Destination::Default => "everywhere".to_owned(),
            crate::topology::Destination::Net(net) => format!("net {net}"),
        };
        writeln!(f, "    to {to} via {}", via.join(" "))
    }
}

/// Continues the text "ready when".
impl fmt::Display for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => f.write_str("the agent says so"),
            Self::Ssh => f.write_str("its ssh server answers"),
            Self::Console(pattern) => write!(f, "its console shows `{pattern}`"),
            Self::Started => f.write_str("QEMU runs"),
        }
    }
}

/// Formats numbers as `1–4 201 202`: three and more consecutive numbers are shortened.
fn ranges(ids: impl Iterator<Item = NodeId>) -> String {
    let mut runs: Vec<(u16, u16)> = Vec::new();
    for number in ids.map(NodeId::number) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let texts = runs.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first} {last}"),
        _ => format!("{first}–{last}"),
    });
    texts.collect::<Vec<_>>().join(" ")
}
