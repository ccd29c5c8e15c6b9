//! What bridges and taps are called, and by what it is known whose they are. Pure.
//!
//! A name follows from net and node alone, as in the original xcluster, so that scripts and people find it. The mark is the link's
//! alias, which `ip link` shows. A bridge is made first and marked then: what says whose it is in between is its group, which
//! it is made with. All links of a net are in one group, so that the kernel removes them all at once.

use xcluster_core::name::{ClusterName, NetId, NodeId};

use xcluster_core::host::netlink::link::Link;

/// The alias of a bridge that `xcluster nsadd` made: clusters use it as it is, and never remove it.
pub const PREPARED_MARK: &str = "xcluster: nsadd";

/// How the alias of every link of a cluster begins.
const MARK: &str = "xcluster: net ";

/// The first of the groups of links that clusters made, by net: numbers that nobody else will have chosen ("xcl").
const GROUPS: u32 = 0x7863_6c00;

/// Whose a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A cluster's: this one's, or that of an owner who was killed.
    Cluster,
    /// The namespace's: a bridge for clusters to use.
    Prepared,
    /// Anybody else's.
    Foreign,
}

impl Owner {
    pub(crate) fn of(link: &Link) -> Self {
        if link.alias.starts_with(MARK) || link.group & !0xff == GROUPS {
            Self::Cluster
        } else if link.alias == PREPARED_MARK && link.kind == "bridge" {
            Self::Prepared
        } else {
            Self::Foreign
        }
    }
}

/// The bridge that a net is.
pub(crate) fn bridge(net: NetId) -> String {
    format!("xcbr{net}")
}

/// The tap of a node on a net. At most 12 bytes, of the 15 that a link's name may have.
pub(crate) fn tap(net: NetId, node: NodeId) -> String {
    format!("xcbr{net}_t{}", node.number())
}

/// The group of a net's links, but for a bridge that was prepared.
pub(crate) fn group(net: NetId) -> u32 {
    GROUPS | u32::from(net.number())
}

/// What a cluster locks before it touches a net's bridge.
pub(crate) fn lock_name(net: NetId) -> String {
    format!("bridge/{}", bridge(net))
}

/// The mark of a net's bridge.
pub(crate) fn bridge_mark(net: NetId, cluster: &ClusterName, uid: u32) -> String {
    format!("{MARK}{net} of cluster {cluster} of uid {uid}")
}

/// The mark of a tap.
pub(crate) fn tap_mark(net: NetId, node: NodeId, cluster: &ClusterName, uid: u32) -> String {
    format!("{MARK}{net}, {node} of cluster {cluster} of uid {uid}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(alias: &str, kind: &str, group: u32, expected: Owner) {
        let link = Link { alias: alias.to_owned(), kind: kind.to_owned(), group, ..Link::default() };
        assert_eq!(Owner::of(&link), expected, "{link:?}");
    }

    #[test]
    fn whose_a_link_is_shows() {
        let cluster = ClusterName::new("lab").unwrap();
        let (net, node) = (NetId::new(1), NodeId::new(3).unwrap());
        let mark = bridge_mark(net, &cluster, 1000);
        assert_eq!(mark, "xcluster: net 1 of cluster lab of uid 1000");
        check(&mark, "bridge", 0, Owner::Cluster);
        check(&tap_mark(net, node, &cluster, 1000), "tun", 0, Owner::Cluster);
        check("", "bridge", group(net), Owner::Cluster);
        check("", "bridge", group(NetId::new(255)), Owner::Cluster);
        check("", "bridge", group(net) << 1, Owner::Foreign);
        check(PREPARED_MARK, "bridge", 0, Owner::Prepared);
        check(PREPARED_MARK, "dummy", 0, Owner::Foreign);
        check("xcluster: nsadd or so", "bridge", 0, Owner::Foreign);
        check("", "bridge", 0, Owner::Foreign);
    }

    #[test]
    fn names_are_those_of_the_original_xcluster() {
        assert_eq!(bridge(NetId::new(2)), "xcbr2");
        assert_eq!(tap(NetId::new(2), NodeId::new(201).unwrap()), "xcbr2_t201");
        assert!(tap(NetId::new(255), NodeId::new(240).unwrap()).len() < nix::libc::IFNAMSIZ);
    }
}
