//! The names and marks of bridges and ports. Pure.
//!
//! In a private instance, names follow from net and node alone, as on bridges of the kernel. Clusters share the host's
//! instance, so names there begin with a digest of cluster and user, of fixed length. The mark is the alias of a link, and
//! the `external_ids` of a row in the database.

use sha2::{Digest, Sha256};
use xcluster_core::name::{ClusterName, NetId, NodeId};
use xcluster_core::net::BackendContext;
use xcluster_core::netlink::link::Link;
use xcluster_core::netlink::ownership;

use crate::config::{Instance, OvsConfig};

/// The first group of links of the host's Open vSwitch ("xcs"). Several clusters share each group, so none is removed as a whole.
const SYSTEM_GROUPS: u32 = 0x7863_7300;
/// The group of the datapath's own link ("xco").
const DATAPATH_GROUP: u32 = 0x7863_6f00;

/// The link that Open vSwitch makes in a namespace for a datapath in user space.
pub(crate) const DATAPATH: &str = "ovs-netdev";
/// The mark of that link.
pub(crate) const DATAPATH_MARK: &str = "xcluster: datapath";

/// The names of a cluster's objects, and the cluster in their marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    /// The prefix of names in the host's Open vSwitch.
    prefix: Option<String>,
    instance: Instance,
    cluster: ClusterName,
    uid: u32,
}

impl Names {
    pub(crate) fn new(config: &OvsConfig, context: &BackendContext<'_>) -> Self {
        Self::of(config.instance, context.cluster, nix::unistd::getuid().as_raw())
    }

    fn of(instance: Instance, cluster: &ClusterName, uid: u32) -> Self {
        let prefix = match instance {
            Instance::Private => None,
            Instance::System => Some(prefix(cluster.as_str(), uid)),
        };
        Self { prefix, instance, cluster: cluster.clone(), uid }
    }

    /// The names of a cluster from a mark in the host's database.
    pub(crate) fn marked(cluster: &ClusterName, uid: u32) -> Self {
        Self::of(Instance::System, cluster, uid)
    }

    /// The bridge of a net, and the host's link to it.
    pub(crate) fn bridge(&self, net: NetId) -> String {
        match &self.prefix {
            None => ownership::bridge_name(net),
            Some(prefix) => format!("{prefix}{net}"),
        }
    }

    /// The tap of a node on a net: at most the 15 bytes that a link's name may have.
    pub(crate) fn tap(&self, net: NetId, node: NodeId) -> String {
        match &self.prefix {
            None => ownership::tap_name(net, node),
            Some(prefix) => format!("{prefix}{net}_t{}", node.number()),
        }
    }

    /// The link that gets a copy of every frame of a net.
    pub(crate) fn capture(&self, net: NetId) -> String {
        format!("{}_cap", self.bridge(net))
    }

    /// A tunnel of a net to another host.
    pub(crate) fn tunnel(&self, net: NetId, index: usize) -> String {
        format!("{}_v{index}", self.bridge(net))
    }

    /// The mark of a link that the ports of a net share.
    pub(crate) fn net_mark(&self, net: NetId) -> String {
        ownership::net_mark(net, &self.cluster, self.uid)
    }

    /// The mark of a tap.
    pub(crate) fn tap_mark(&self, net: NetId, node: NodeId) -> String {
        ownership::tap_mark(net, node, &self.cluster, self.uid)
    }

    /// The group of a net's links.
    pub(crate) fn group(&self, net: NetId) -> u32 {
        match self.instance {
            Instance::Private => ownership::group(net),
            Instance::System => SYSTEM_GROUPS | u32::from(net.number()),
        }
    }

    /// Whether this cluster may remove a link that has the name of one of its own. In a private instance, names follow from
    /// the net alone: the caller holds the net's host lock, so no running cluster uses a link that any cluster made.
    pub(crate) fn owns(&self, link: &Link) -> bool {
        match self.instance {
            Instance::Private => ownership::is_clusters(link),
            Instance::System => ownership::has_mark_of(link, &self.cluster, self.uid),
        }
    }

    /// Whether this cluster may remove a link, and it is one of this net.
    pub(crate) fn owns_of(&self, link: &Link, net: NetId) -> bool {
        self.owns(link) && ownership::has_mark_of_net(link, net)
    }

    /// The host lock of a cluster on the host's Open vSwitch, which it holds for its life.
    pub(crate) fn lock_name(&self) -> String {
        format!("ovs/{}", self.prefix.as_deref().unwrap_or("xcbr"))
    }

    /// The cluster and the user ID, as in the database.
    pub(crate) fn owner_ids(&self) -> [String; 2] {
        [self.cluster.to_string(), self.uid.to_string()]
    }

    /// The keys and values in the `external_ids` of a net's objects.
    pub(crate) fn ids(&self, net: NetId) -> Vec<(&'static str, String)> {
        vec![(ID_CLUSTER, self.cluster.to_string()), (ID_UID, self.uid.to_string()), (ID_NET, net.to_string())]
    }
}

/// Keys of `external_ids`.
pub(crate) const ID_CLUSTER: &str = "xcluster-cluster";
/// The user ID.
pub(crate) const ID_UID: &str = "xcluster-uid";
/// The net's number.
pub(crate) const ID_NET: &str = "xcluster-net";
/// The node's number.
pub(crate) const ID_NODE: &str = "xcluster-node";
/// The kernel's number of the network namespace, in which host locks are checked.
pub(crate) const ID_NETNS: &str = "xcluster-netns";

/// The host lock of a datapath in user space in a namespace.
pub(crate) const DATAPATH_LOCK: &str = "ovs/datapath";

/// Whether a cluster made the datapath's link.
pub(crate) fn is_datapath(link: &Link) -> bool {
    link.group == DATAPATH_GROUP || link.alias == DATAPATH_MARK
}

/// The group of the datapath's link.
pub(crate) const fn datapath_group() -> u32 {
    DATAPATH_GROUP
}

/// 24 bits make an accidental collision unlikely. If two clusters collide, their marks differ and the second is refused.
fn prefix(cluster: &str, uid: u32) -> String {
    let digest = Sha256::digest(format!("{uid}/{cluster}"));
    let hex: String = digest.iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    format!("x{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(instance: Instance, cluster: &str) -> Names {
        Names::of(instance, &ClusterName::new(cluster).unwrap(), 1000)
    }

    #[test]
    fn names_are_those_of_bridges_or_tell_clusters_apart() {
        let (net, node) = (NetId::new(255), NodeId::new(240).unwrap());
        let private = names(Instance::Private, "lab");
        let all = |names: &Names| {
            [names.bridge(net), names.tap(net, node), names.capture(net), names.tunnel(net, 98)].join(" ")
        };
        assert_eq!(all(&private), "xcbr255 xcbr255_t240 xcbr255_cap xcbr255_v98");
        let system = names(Instance::System, "lab");
        assert_eq!(all(&system), "x997e1a255 x997e1a255_t240 x997e1a255_cap x997e1a255_v98");
        assert!(system.tap(net, node).len() < nix::libc::IFNAMSIZ);
        assert_ne!(system.bridge(net), names(Instance::System, "lab2").bridge(net));
    }

    fn check(names: &Names, alias: &str, group: u32, expected: bool) {
        let link = Link { alias: alias.to_owned(), group, ..Link::default() };
        assert_eq!(names.owns(&link), expected, "{link:?}");
    }

    #[test]
    fn whose_a_link_is_shows() {
        let net = NetId::new(1);
        let (private, system) = (names(Instance::Private, "lab"), names(Instance::System, "lab"));
        let other = names(Instance::System, "slab");
        assert_eq!(system.net_mark(net), "xcluster: net 1 of cluster lab of uid 1000");
        check(&private, "", private.group(net), true);
        check(&private, &other.net_mark(net), 0, true);
        check(&private, "", 0, false);
        check(&system, &system.net_mark(net), 0, true);
        check(&system, &system.tap_mark(net, NodeId::new(3).unwrap()), 0, true);
        check(&system, &other.net_mark(net), 0, false);
        check(&system, "", system.group(net), false);
    }

    #[test]
    fn a_net_is_not_taken_for_one_that_begins_with_its_number() {
        let system = names(Instance::System, "lab");
        let link = |alias: String| Link { alias, ..Link::default() };
        let (one, ten) = (NetId::new(1), NetId::new(10));
        assert!(system.owns_of(&link(system.net_mark(one)), one));
        assert!(system.owns_of(&link(system.tap_mark(one, NodeId::new(3).unwrap())), one));
        assert!(!system.owns_of(&link(system.net_mark(ten)), one));
    }
}
