//! Cleanup of the host's Open vSwitch: removes what killed owners left. It is recognized by its mark and by a host lock that
//! is free. Objects of running clusters are not touched.

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

/// Removes what clusters of this user with killed owners left in the host's Open vSwitch. A start does the same. Clusters in
/// other network namespaces are left alone, because only that namespace shows whether they run.
///
/// Returns the names of the bridges that were removed. Must run in a tokio runtime.
///
/// # Errors
/// The switch does not answer, or something cannot be removed.
pub async fn gc(config: &OvsConfig) -> Result<Vec<String>, NetError> {
    let config = OvsConfig { instance: Instance::System, ..config.clone() };
    let switch = Switch::of_host(&Programs::find(&config)?, &config.db).await?;
    let namespace = Namespace::here();
    let netlink = Netlink::connect(&namespace)?;
    gc_except(&switch, &namespace, &netlink, None).await
}

/// Cleanup at a start, which holds the host lock of its own cluster: earlier leftovers of that name are removed, too.
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
        // Held until all is removed, so that no new cluster takes the name meanwhile.
        let _claim = match own {
            Some(own) if *own == names => None,
            _ => match HostLock::take_in(namespace, &names.lock_name()) {
                Ok(host_lock) => Some(host_lock),
                // The cluster is running.
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

/// The bridges of a user's clusters in a network namespace.
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
