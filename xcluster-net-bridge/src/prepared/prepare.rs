//! The order of making a namespace: find obstacles, record what will be made, make it. After a failure, undo it.

use nix::unistd::Uid;
use serde::Serialize;
use xcluster_core::addr::Ipv6Prefix;
use xcluster_core::host::namespace::NamedNetns;
use xcluster_core::host::{Namespace, Netns};

use super::error::PreparedError;
use super::in_namespace::in_namespace;
use super::index::Index;
use super::links::LinkSetup;
use super::owner::Owner;
use super::state_file::{Entry, StateFile};
use super::{files, firewall, nft, obstacles, remove, settings};
use xcluster_core::netlink::Netlink;

/// The default MTU of its bridges, in bytes.
const MTU: u16 = 1500;

/// A namespace to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceRequest {
    /// Its number, unique on this host.
    pub index: Index,
    /// The user who may enter it.
    pub owner: Owner,
    /// The MTU of its bridges in bytes, 1280 to 65535. Default: that of the existing namespace, else 1500.
    pub mtu: Option<u16>,
    /// The upper 96 bits of its IPv6 addresses, as in the cluster's topology. Default: those of the existing namespace, else
    /// the usual ones.
    pub ipv6_prefix: Option<Ipv6Prefix>,
}

/// An existing namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Prepared {
    /// Its name.
    pub name: NamedNetns,
    /// The new objects, for people; empty if all of it existed.
    pub made: Vec<String>,
    /// Rules that may still keep its packets from leaving the host, with the commands to type.
    pub notes: Vec<String>,
}

/// Makes a namespace, or what is missing of it. Needs root. Must run in a tokio runtime, in the host's network namespace.
///
/// # Errors
/// There are obstacles: then nothing was changed. Or a step failed: then what was made is removed again.
pub async fn prepare(request: &NamespaceRequest) -> Result<Prepared, PreparedError> {
    if !Uid::effective().is_root() {
        return Err(PreparedError::NotRoot);
    }
    let name = NamedNetns::of_user(&request.owner.name, request.index.number())?;
    let mut state_file = StateFile::open().await?;
    let done = attempt(&mut state_file, request, name).await;
    let closed = state_file.close();
    done.and_then(|prepared| closed.map(|()| prepared))
}

async fn attempt(
    state_file: &mut StateFile,
    request: &NamespaceRequest,
    name: NamedNetns,
) -> Result<Prepared, PreparedError> {
    let host = Netlink::connect(&Namespace::here())?;
    let obstacles = obstacles::obstacles(&state_file.record, &host, request, &name).await?;
    if !obstacles.is_empty() {
        return Err(PreparedError::Obstacles(obstacles));
    }
    let known = state_file.record.namespaces.get(&request.index).cloned();
    // Root could do without the user namespace's file; the user could not.
    let usable = known.is_some() && name.user_file().exists() && Namespace::open(&Netns::Named(name.clone())).is_ok();
    if known.is_some() && !usable {
        // A reboot or a user removed the namespace. Its leftovers would be obstacles, so they are removed.
        remove::take_down(state_file, request.index).await?;
    }
    let entry = known.unwrap_or_else(|| Entry {
        name,
        owner: request.owner.clone(),
        mtu: request.mtu.unwrap_or(MTU),
        ipv6_prefix: request.ipv6_prefix.clone().unwrap_or_default(),
    });
    state_file.record.namespaces.insert(request.index, entry.clone());
    state_file.save()?;
    match make(state_file, host, request.index, &entry).await {
        // After a failure, objects that existed before stay.
        Err(cause) if !usable => Err(undo(state_file, request.index, cause).await),
        made => made,
    }
}

async fn undo(state_file: &mut StateFile, index: Index, cause: PreparedError) -> PreparedError {
    match remove::take_down(state_file, index).await {
        Ok(()) => cause,
        Err(PreparedError::Leftovers { leftovers, .. }) => {
            PreparedError::Leftovers { leftovers, source: Some(Box::new(cause)) }
        }
        Err(error) => PreparedError::Leftovers { leftovers: vec![error], source: Some(Box::new(cause)) },
    }
}

/// Makes what is missing.
async fn make(
    state_file: &mut StateFile,
    host: Netlink,
    index: Index,
    entry: &Entry,
) -> Result<Prepared, PreparedError> {
    let mut made = Vec::new();
    let namespace = namespace(state_file, entry, &mut made)?;
    if forward_here(state_file)? {
        made.push("forwarding on the host".to_owned());
    }
    in_namespace(&namespace, forward_there)??;
    let inner = Netlink::connect(&namespace)?;
    let mut setup = LinkSetup { index, namespace: &namespace, host, inner, made };
    setup.connect().await?;
    setup.bridges(entry).await?;
    let mut made = setup.made;
    if !nft::ruleset(&namespace).await?.masquerades(firewall::INNER_TABLE) {
        let script = firewall::inner_script(index, &entry.ipv6_prefix);
        nft::apply(&script, &namespace, "masquerade what leaves the namespace").await?;
        made.push("masquerading in the namespace".to_owned());
    }
    let notes = admit(index, &mut made).await?;
    Ok(Prepared { name: entry.name.clone(), made, notes })
}

/// The namespaces and their files.
fn namespace(state_file: &mut StateFile, entry: &Entry, made: &mut Vec<String>) -> Result<Namespace, PreparedError> {
    let request = Netns::Named(entry.name.clone());
    let (net_file, user_file) = (entry.name.net_file(), entry.name.user_file());
    for folder in [&net_file, &user_file].into_iter().filter_map(|file| file.parent()) {
        if state_file.record.holders.iter().all(|holder| holder.path != folder) {
            let holder = files::Holder::make(folder)?;
            state_file.record.holders.push(holder);
            state_file.save()?;
        }
    }
    if let Ok(there) = Namespace::open(&request) {
        return Ok(there);
    }
    let fresh = Namespace::private_of(entry.owner.uid, entry.owner.gid)?;
    if let Some((Some(user), net)) = fresh.descriptors() {
        // The user namespace's file first: a network namespace without one counts as the host's.
        files::hold(user, &user_file)?;
        files::hold(net, &net_file)?;
    }
    made.push(format!("network namespace `{}`", entry.name));
    Ok(Namespace::open(&request)?)
}

/// Turns forwarding on in the host's namespace, and records what that changed. Returns whether it was off.
fn forward_here(state_file: &mut StateFile) -> Result<bool, PreparedError> {
    let before = settings::look();
    let request = settings::for_forwarding(&before, &settings::advertised_links());
    if request.is_empty() {
        return Ok(false);
    }
    // The change is recorded first: if this process is killed in between, it can be undone.
    let mut after = before.clone();
    after.extend(request.iter().map(|(path, value)| (path.clone(), (*value).to_owned())));
    state_file.record.settings.note(&before, &after);
    state_file.save()?;
    let set: Result<(), _> = request.iter().try_for_each(|(path, value)| settings::set(path, value));
    state_file.record.settings.note(&before, &settings::look());
    state_file.save()?;
    set.map(|()| true)
}

/// Turns forwarding on in the prepared namespace. It needs no record, since settings end with the namespace.
fn forward_there() -> Result<(), PreparedError> {
    settings::for_forwarding(&settings::look(), &[]).iter().try_for_each(|(path, value)| settings::set(path, value))
}

/// Lets packets from the namespace leave the host. Returns the rules of others that still drop them.
async fn admit(index: Index, made: &mut Vec<String>) -> Result<Vec<String>, PreparedError> {
    let (here, link) = (Namespace::here(), index.host_link());
    let ruleset = nft::ruleset(&here).await?;
    if !ruleset.masquerades(&firewall::host_table(index)) {
        nft::apply(&firewall::host_script(index), &here, "masquerade what leaves the host").await?;
        made.push("masquerading on the host".to_owned());
    }
    let mut notes: Vec<String> = obstacles::legacy_filter(&link).into_iter().collect();
    for chain in ruleset.barriers() {
        if ruleset.admits(&chain, &link) {
            continue;
        }
        let admission = chain.admission(&link);
        match nft::apply(&admission, &here, "admit the link").await {
            Ok(()) => made.push(format!("rules in chain `{chain}`, which would drop its packets")),
            Err(error) => {
                notes.push(format!("chain `{chain}` drops its packets, and {error}; there it needs:\n{admission}"))
            }
        }
    }
    Ok(notes)
}
