//! What owners who were killed left in the host's Open vSwitch: found by its mark and by the host lock that nobody holds, and
//! removed. What a living cluster has is not touched.

use std::collections::BTreeMap;

use xcluster_core::host::{HostLock, Namespace};
use xcluster_core::name::ClusterName;
use xcluster_core::net::NetError;
use xcluster_core::netlink::Netlink;

use crate::config::{Instance, OvsConfig};
use crate::names::{ID_CLUSTER, ID_NETNS, ID_UID, Names};
use crate::programs::Programs;
use crate::switch::{Row, Switch};
use crate::{net, vsctl_commands};

/// Removes from the host's Open vSwitch what this user's clusters left there whose owners were killed. A start does the same.
/// Those who are in another network namespace are left alone: whether they live is only known there.
///
/// Returns the names of the bridges that were removed. Must run in a tokio runtime.
///
/// # Errors
/// The switch cannot be asked, or something that was found cannot be removed.
pub async fn gc(config: &OvsConfig) -> Result<Vec<String>, NetError> {
    let config = OvsConfig { instance: Instance::System, ..config.clone() };
    let switch = Switch::of_host(&Programs::find(&config)?, &config.db).await?;
    let namespace = Namespace::here();
    let netlink = Netlink::connect(&namespace)?;
    gc_except(&switch, &namespace, &netlink, None).await
}

/// The same for a start, which holds the host lock of its own cluster: what that left earlier is nobody's, too.
pub(crate) async fn gc_except(
    switch: &Switch,
    namespace: &Namespace,
    netlink: &Netlink,
    own: Option<&Names>,
) -> Result<Vec<String>, NetError> {
    let netns = namespace.id().map_err(|source| NetError::io("look at the network namespace", source))?;
    let uid = nix::unistd::getuid().as_raw();
    let rows = switch.read(["--columns=name,external_ids", "list", "Bridge"]).await?;
    let mut removed = Vec::new();
    for (cluster, bridges) in of_user(&rows, uid, netns) {
        let names = Names::marked(&cluster, uid);
        // Held until all is gone, so that nobody moves in meanwhile.
        let _claim = match own {
            Some(own) if *own == names => None,
            _ => match HostLock::take_in(namespace, &names.lock_name()) {
                Ok(host_lock) => Some(host_lock),
                // It lives.
                Err(_) => continue,
            },
        };
        for bridge in &bridges {
            switch.transact(vsctl_commands::remove_bridge(bridge)).await?;
        }
        net::remove_those(netlink, |link| names.owns(link)).await?;
        removed.extend(bridges);
    }
    Ok(removed)
}

/// The bridges that clusters of a user have in a network namespace.
fn of_user(rows: &[Row], uid: u32, netns: u64) -> BTreeMap<ClusterName, Vec<String>> {
    let mut clusters: BTreeMap<ClusterName, Vec<String>> = BTreeMap::new();
    for row in rows {
        let is = |key, value: &str| row.key("external_ids", key) == Some(value);
        let cluster = row.key("external_ids", ID_CLUSTER).map(ClusterName::new);
        if let (Some(Ok(cluster)), Some(name)) = (cluster, row.text("name"))
            && is(ID_UID, &uid.to_string())
            && is(ID_NETNS, &netns.to_string())
        {
            clusters.entry(cluster).or_default().push(name.to_owned());
        }
    }
    clusters
}
