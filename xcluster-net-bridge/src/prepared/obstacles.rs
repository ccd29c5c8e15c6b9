//! All obstacles to a namespace, found before anything is changed.

use std::fs;

use xcluster_core::host::Namespace;
use xcluster_core::host::namespace::NamedNetns;

use super::error::{Obstacle, PreparedError};
use super::prepare::NamespaceRequest;
use super::state_file::{Entry, Record};
use super::{firewall, nft};
use xcluster_core::netlink::Netlink;

/// The smallest MTU of IPv6 (RFC 8200). Links with a smaller one have no IPv6.
const MTU_MIN: u16 = 1280;

/// Finds all obstacles.
pub(super) async fn obstacles(
    record: &Record,
    host: &Netlink,
    request: &NamespaceRequest,
    name: &NamedNetns,
) -> Result<Vec<Obstacle>, PreparedError> {
    let mut found = Vec::new();
    found.extend(request.mtu.filter(|mtu| *mtu < MTU_MIN).map(Obstacle::Mtu));
    match record.namespaces.get(&request.index) {
        Some(entry) if entry.owner.uid != request.owner.uid => found.push(taken(record, host, request, entry).await?),
        Some(entry) => found.extend(differences(request, entry)),
        None => found.extend(foreign_links(host, request, name).await?),
    }
    if nft::program().is_none() {
        found.push(Obstacle::NoNft);
    }
    Ok(found)
}

async fn taken(
    record: &Record,
    host: &Netlink,
    request: &NamespaceRequest,
    by: &Entry,
) -> Result<Obstacle, PreparedError> {
    let links = host.links().await?;
    let mut free = super::Index::all().filter(|index| !record.namespaces.contains_key(index));
    let free = free.find(|index| links.iter().all(|link| link.name != index.host_link()));
    Ok(Obstacle::Taken { index: request.index, by: by.name.clone(), owner: by.owner.name.clone(), free })
}

/// Properties that differ from those of the existing namespace.
fn differences(request: &NamespaceRequest, entry: &Entry) -> Vec<Obstacle> {
    let index = request.index;
    let different = |what, is: String, request: Option<String>| {
        request.filter(|request| *request != is).map(|request| Obstacle::Different { what, is, request, index })
    };
    let mtu = different("MTU", entry.mtu.to_string(), request.mtu.map(|mtu| mtu.to_string()));
    let prefix = request.ipv6_prefix.as_ref().map(ToString::to_string);
    mtu.into_iter().chain(different("IPv6 prefix", entry.ipv6_prefix.to_string(), prefix)).collect()
}

/// Objects with a name or an address that we need, if the record does not have them.
async fn foreign_links(
    host: &Netlink,
    request: &NamespaceRequest,
    name: &NamedNetns,
) -> Result<Vec<Obstacle>, PreparedError> {
    let mut found = Vec::new();
    let (link, table) = (request.index.host_link(), firewall::host_table(request.index));
    if host.link(&link).await?.is_some() {
        found.push(Obstacle::Link(link));
    }
    let files = [name.net_file(), name.user_file()].into_iter();
    found.extend(files.filter(|file| fs::symlink_metadata(file).is_ok()).map(Obstacle::File));
    if nft::program().is_some() && nft::ruleset(&Namespace::here()).await?.has_table(&table) {
        found.push(Obstacle::Table(table));
    }
    for ip in [request.index.inner(), request.index.host()].into_iter().flat_map(super::Ends::each) {
        if host.is_local(ip).await? {
            found.push(Obstacle::Address(ip));
        }
    }
    Ok(found)
}

/// The commands that admit a link in rules of the old iptables, which `nft` does not show.
pub(super) fn legacy_filter(link: &str) -> Option<String> {
    let has = |names: &str| fs::read_to_string(names).is_ok_and(|names| names.lines().any(|name| name == "filter"));
    let programs = [
        ("/proc/thread-self/net/ip_tables_names", "iptables-legacy"),
        ("/proc/thread-self/net/ip6_tables_names", "ip6tables-legacy"),
    ];
    let command = |program: &str| {
        format!("sudo {program} -I FORWARD -i {link} -j ACCEPT\nsudo {program} -I FORWARD -o {link} -j ACCEPT")
    };
    let commands: Vec<_> =
        programs.into_iter().filter(|(names, _)| has(names)).map(|(_, program)| command(program)).collect();
    let why = "this host has rules of the old iptables; if they drop what is forwarded:";
    (!commands.is_empty()).then(|| format!("{why}\n{}", commands.join("\n")))
}
