//! The order of removing a namespace: its objects, its files and, with the last namespace, the changes for all of them. An
//! absent object counts as removed. A failure does not stop the rest.

use nix::unistd::Uid;
use xcluster_core::host::namespace::NamedNetns;
use xcluster_core::host::{Namespace, Netns};

use super::error::{Obstacle, PreparedError};
use super::index::Index;
use super::namespace_users::{self, NamespaceUser};
use super::owner::Owner;
use super::settings::Changes;
use super::state_file::{Entry, StateFile};
use super::{files, firewall, nft, settings};
use xcluster_core::netlink::Netlink;
use xcluster_core::netlink::link::LinkSelector;

/// The result of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// What was removed; `None` if nothing existed.
    pub name: Option<NamedNetns>,
    /// The processes that still use it. It has no name and no link to the host any more, and ends with the last of them.
    pub namespace_users: Vec<NamespaceUser>,
}

/// Removes a namespace and all changes that were made for it. Needs root. Must run in a tokio runtime, in the host's network
/// namespace.
///
/// # Errors
/// It belongs to another user: then nothing was changed. Or something could not be removed: the rest is gone, and another
/// call continues from there.
pub async fn remove(index: Index, owner: &Owner) -> Result<Removed, PreparedError> {
    if !Uid::effective().is_root() {
        return Err(PreparedError::NotRoot);
    }
    let mut state_file = StateFile::open().await?;
    let done = attempt(&mut state_file, index, owner).await;
    let closed = state_file.close();
    done.and_then(|removed| closed.map(|()| removed))
}

async fn attempt(state_file: &mut StateFile, index: Index, owner: &Owner) -> Result<Removed, PreparedError> {
    let Some(entry) = state_file.record.namespaces.get(&index).cloned() else {
        return Ok(Removed { name: None, namespace_users: Vec::new() });
    };
    if entry.owner.uid != owner.uid {
        let not_yours = Obstacle::NotYours { by: entry.name, owner: entry.owner.name, index };
        return Err(PreparedError::Obstacles(vec![not_yours]));
    }
    let id = Namespace::open(&Netns::Named(entry.name.clone())).ok().and_then(|namespace| namespace.id().ok());
    take_down(state_file, index).await?;
    Ok(Removed { name: Some(entry.name), namespace_users: id.map(namespace_users::of).unwrap_or_default() })
}

/// Removes everything that the record has of a namespace, also of one that is half made.
pub(super) async fn take_down(state_file: &mut StateFile, index: Index) -> Result<(), PreparedError> {
    let Some(entry) = state_file.record.namespaces.get(&index).cloned() else { return Ok(()) };
    let mut leftovers: Vec<PreparedError> = Vec::new();
    leftovers.extend(remove_rules(index).await.err());
    leftovers.extend(remove_link(index).await.err());
    leftovers.extend(remove_files(&entry));
    if state_file.record.namespaces.len() == 1 && leftovers.is_empty() {
        leftovers.extend(settings::restore(&state_file.record.settings));
        leftovers.extend(state_file.record.holders.iter().filter_map(|holder| holder.remove().err()));
    }
    if leftovers.is_empty() {
        state_file.record.namespaces.remove(&index);
        if state_file.record.namespaces.is_empty() {
            state_file.record.settings = Changes::default();
            state_file.record.holders.clear();
        }
        return Ok(());
    }
    Err(PreparedError::Leftovers { leftovers, source: None })
}

/// Our table, and our rules in tables of others.
async fn remove_rules(index: Index) -> Result<(), PreparedError> {
    let here = Namespace::here();
    // Removing the program does not remove rules. Where it was never installed there are none.
    let ruleset = nft::ruleset(&here).await?;
    let mut script = ruleset.dismissal(&index.host_link());
    let table = firewall::host_table(index);
    if ruleset.has_table(&table) {
        script += &firewall::without(&table);
    }
    if script.is_empty() { Ok(()) } else { nft::apply(&script, &here, "remove the rules").await }
}

/// The veth pair, by both ends: processes may keep the namespace alive.
async fn remove_link(index: Index) -> Result<(), PreparedError> {
    let host = Netlink::connect(&Namespace::here())?;
    match host.link(&index.host_link()).await? {
        Some(link) if link.kind == "veth" => Ok(host.remove(LinkSelector::Index(link.index)).await?),
        _ => Ok(()),
    }
}

fn remove_files(entry: &Entry) -> Vec<PreparedError> {
    [entry.name.net_file(), entry.name.user_file()].iter().filter_map(|file| files::release(file).err()).collect()
}
