//! The numbers of the host that a cluster requests, from the configuration and the ports alone. Pure. `allocation` checks
//! whether they are free.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use xcluster_core::name::NetId;
use xcluster_core::net::{Net, Port};
use xcluster_core::topology::NetKind;

use crate::config::UserConfig;
use crate::error::{Problem, Target};

/// The UDP port of the multicast groups, as in the original xcluster.
pub(crate) const MCAST_PORT: u16 = 27030;

/// Forwards whose numbers belong together: if one is taken, all of them move.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct PortRange {
    /// The user set these numbers, so they do not move.
    pub(crate) fixed: bool,
    /// The forwards, and the port of the host that is requested for each; `None` for any.
    pub(crate) forwards: BTreeMap<Target, Option<u16>>,
}

/// The nets that are multicast groups, all on one UDP port.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Groups {
    /// The user set them, so the port does not move.
    pub(crate) fixed: bool,
    /// The groups, by net.
    pub(crate) groups: BTreeMap<NetId, Ipv4Addr>,
}

/// A service with a documented number on the host.
struct Service {
    /// The TCP port in the node.
    port: u16,
    /// The only node with this service; `None` for every node.
    only: Option<u16>,
    /// The number that the original xcluster documents.
    documented: u16,
    /// The number that the user set.
    configured: Option<u16>,
}

impl Service {
    fn covers(&self, target: &Target) -> bool {
        target.port == self.port && self.only.is_none_or(|node| node == target.node.number())
    }

    /// The port of the host. It does not wrap, so that the caller notices an invalid one.
    fn number(&self, target: &Target) -> u32 {
        let number = u32::from(self.configured.unwrap_or(self.documented));
        if self.only.is_some() { number } else { number + u32::from(target.node.number()) }
    }
}

fn services(config: &UserConfig) -> [Service; 4] {
    [
        Service { port: 23, only: None, documented: 12000, configured: config.telnet_base },
        Service { port: 22, only: None, documented: 12300, configured: config.ssh_base },
        Service { port: 8080, only: Some(1), documented: 18080, configured: config.k8s_port },
        Service { port: 6443, only: Some(1), documented: 7443, configured: config.k8s_api_port },
    ]
}

/// The forwards of these ports: ranges for the known services, then the rest, with any numbers.
///
/// # Errors
/// Every number that does not exist, and every overlap among numbers that the user set.
pub(crate) fn forwards(config: &UserConfig, ports: &[Port]) -> Result<Vec<PortRange>, Vec<Problem>> {
    let mut targets: Vec<Target> = ports.iter().filter(|port| is_internal(&port.net)).flat_map(targets).collect();
    targets.sort_unstable();
    targets.dedup();
    let mut problems = Vec::new();
    let mut ranges = Vec::new();
    for service in services(config) {
        let (own, rest): (Vec<_>, Vec<_>) = targets.into_iter().partition(|target| service.covers(target));
        targets = rest;
        let mut range = PortRange { fixed: service.configured.is_some(), ..PortRange::default() };
        for target in own {
            let number = service.number(&target);
            match u16::try_from(number) {
                Ok(number) => _ = range.forwards.insert(target, Some(number)),
                Err(_) => problems.push(Problem::Beyond { number, target }),
            }
        }
        ranges.push(range);
    }
    problems.extend(overlaps(&ranges));
    let any = targets.into_iter().map(|target| (target, None)).collect();
    ranges.push(PortRange { fixed: false, forwards: any });
    if problems.is_empty() { Ok(ranges) } else { Err(problems) }
}

/// The forwards that a port requests.
pub(crate) fn targets(port: &Port) -> impl Iterator<Item = Target> {
    port.expose.iter().map(|number| Target { net: port.net.id, node: port.node, port: *number })
}

fn overlaps(ranges: &[PortRange]) -> Vec<Problem> {
    let fixed = ranges.iter().filter(|range| range.fixed).flat_map(|range| &range.forwards);
    let mut seen: BTreeMap<u16, Target> = BTreeMap::new();
    let mut problems = Vec::new();
    for (target, number) in fixed {
        let Some(number) = *number else { continue };
        match seen.get(&number) {
            Some(first) => problems.push(Problem::Overlap { number, first: *first, second: *target }),
            None => _ = seen.insert(number, *target),
        }
    }
    problems
}

/// The multicast groups of these nets.
///
/// # Errors
/// Every net whose number is too large for a group.
pub(crate) fn groups(config: &UserConfig, nets: &[Net]) -> Result<Groups, Vec<Problem>> {
    let base = u16::from(config.mcast_base.unwrap_or(120));
    let mut groups = BTreeMap::new();
    let mut problems = Vec::new();
    for net in nets.iter().filter(|net| !is_internal(net)) {
        let group = base + u16::from(net.id.number());
        match u8::try_from(group) {
            Ok(last) => _ = groups.insert(net.id, Ipv4Addr::new(224, 0, 0, last)),
            Err(_) => problems.push(Problem::Group { net: net.id, group }),
        }
    }
    if problems.is_empty() { Ok(Groups { fixed: config.mcast_base.is_some(), groups }) } else { Err(problems) }
}

/// Whether the net has the host, and VMs do not hear each other on it.
pub(crate) fn is_internal(net: &Net) -> bool {
    net.kind == NetKind::Internal
}
