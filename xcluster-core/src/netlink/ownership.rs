//! The names, marks, groups and host locks of the links that clusters make. Pure.
//!
//! All backends with links in the cluster's namespace take them from here, because they meet there: each must know what a killed
//! owner left, whichever backend made it. Names follow from net and node alone, as in the original xcluster, so that scripts
//! and people find a link. The ownership mark is the link's alias, which `ip link` shows. A link is made first and marked next;
//! in between, its group shows that a cluster made it.

use super::link::Link;
use crate::name::{ClusterName, NetId, NodeId};

/// The start of the alias of every link that a cluster made.
pub const MARK: &str = "xcluster: net ";

/// The first group of links that clusters made; the net's number is added. No other program is likely to use it ("xcl").
const GROUPS: u32 = 0x7863_6c00;

/// The bridge of a net, and the host's link to that net.
pub fn bridge_name(net: NetId) -> String {
    format!("xcbr{net}")
}

/// The tap of a node on a net: at most 12 of the 15 bytes that a link's name may have.
pub fn tap_name(net: NetId, node: NodeId) -> String {
    format!("xcbr{net}_t{}", node.number())
}

/// The group of a net's links. One request to the kernel removes all links of a group.
pub fn group(net: NetId) -> u32 {
    GROUPS | u32::from(net.number())
}

/// The host lock that a cluster takes in a namespace before it touches links of a net.
pub fn lock_name(net: NetId) -> String {
    format!("bridge/{}", bridge_name(net))
}

/// The mark of a link that the ports of a net share.
pub fn net_mark(net: NetId, cluster: &ClusterName, uid: u32) -> String {
    format!("{MARK}{net}{}", cluster_suffix(cluster, uid))
}

/// The mark of a node's tap.
pub fn tap_mark(net: NetId, node: NodeId, cluster: &ClusterName, uid: u32) -> String {
    format!("{MARK}{net}, {node}{}", cluster_suffix(cluster, uid))
}

/// Whether a cluster made this link: any cluster, this one or that of a killed owner. The caller holds the net's
/// [host lock](lock_name), so no running cluster uses it.
pub fn is_clusters(link: &Link) -> bool {
    link.alias.starts_with(MARK) || link.group & !0xff == GROUPS
}

/// Whether a link has the mark of this cluster of this user.
pub fn has_mark_of(link: &Link, cluster: &ClusterName, uid: u32) -> bool {
    link.alias.starts_with(MARK) && link.alias.ends_with(&cluster_suffix(cluster, uid))
}

/// Whether a link has the mark of this net, whichever cluster made it.
pub fn has_mark_of_net(link: &Link, net: NetId) -> bool {
    let rest = link.alias.strip_prefix(MARK).and_then(|rest| rest.strip_prefix(&net.to_string()));
    rest.is_some_and(|rest| rest.starts_with([' ', ',']))
}

fn cluster_suffix(cluster: &ClusterName, uid: u32) -> String {
    format!(" of cluster {cluster} of uid {uid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(alias: String) -> Link {
        Link { alias, ..Link::default() }
    }

    #[test]
    fn names_are_those_of_the_original_xcluster() {
        assert_eq!(bridge_name(NetId::new(2)), "xcbr2");
        assert_eq!(tap_name(NetId::new(2), NodeId::new(201).unwrap()), "xcbr2_t201");
        assert!(tap_name(NetId::new(255), NodeId::new(240).unwrap()).len() < nix::libc::IFNAMSIZ);
    }

    #[test]
    fn a_mark_names_net_cluster_and_user() {
        let (net, node) = (NetId::new(1), NodeId::new(3).unwrap());
        let [cluster, other] = ["lab", "slab"].map(|name| ClusterName::new(name).unwrap());
        assert_eq!(net_mark(net, &cluster, 1000), "xcluster: net 1 of cluster lab of uid 1000");
        assert_eq!(tap_mark(net, node, &cluster, 1000), "xcluster: net 1, vm-003 of cluster lab of uid 1000");
        for link in [marked(net_mark(net, &cluster, 1000)), marked(tap_mark(net, node, &cluster, 1000))] {
            assert!(
                is_clusters(&link) && has_mark_of(&link, &cluster, 1000) && has_mark_of_net(&link, net),
                "{link:?}"
            );
            assert!(!has_mark_of(&link, &other, 1000) && !has_mark_of(&link, &cluster, 100), "{link:?}");
            assert!(!has_mark_of_net(&link, NetId::new(10)), "{link:?}");
        }
        assert!(!has_mark_of_net(&marked(net_mark(NetId::new(10), &cluster, 1000)), net));
    }

    #[test]
    fn a_group_shows_what_a_cluster_made_before_it_is_marked() {
        let grouped = |group| Link { group, ..Link::default() };
        assert!(is_clusters(&grouped(group(NetId::new(1)))));
        assert!(is_clusters(&grouped(group(NetId::new(255)))));
        assert!(!is_clusters(&grouped(group(NetId::new(1)) << 1)));
        assert!(!is_clusters(&grouped(0)));
    }
}
