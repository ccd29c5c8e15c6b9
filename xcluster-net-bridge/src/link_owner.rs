//! The owner of a link. The names and marks that all backends share are in `xcluster_core::netlink::ownership`. Pure.

use xcluster_core::netlink::link::Link;
use xcluster_core::netlink::ownership;

/// The alias of a bridge that `xcluster nsadd` made: clusters use it as it is, and never remove it.
pub const PREPARED_MARK: &str = "xcluster: nsadd";

/// The owner of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkOwner {
    /// A cluster: this one, or that of a killed owner.
    Cluster,
    /// `nsadd`: a bridge for clusters to use.
    Prepared,
    /// Another program.
    Foreign,
}

impl LinkOwner {
    pub(crate) fn of(link: &Link) -> Self {
        if ownership::is_clusters(link) {
            Self::Cluster
        } else if link.alias == PREPARED_MARK && link.kind == "bridge" {
            Self::Prepared
        } else {
            Self::Foreign
        }
    }
}

#[cfg(test)]
mod tests {
    use xcluster_core::name::NetId;

    use super::*;

    fn check(alias: &str, kind: &str, group: u32, expected: LinkOwner) {
        let link = Link { alias: alias.to_owned(), kind: kind.to_owned(), group, ..Link::default() };
        assert_eq!(LinkOwner::of(&link), expected, "{link:?}");
    }

    #[test]
    fn marks_and_groups_show_who_made_a_link() {
        check("xcluster: net 1 of cluster lab of uid 1000", "bridge", 0, LinkOwner::Cluster);
        check("xcluster: net 1, vm-003 of cluster lab of uid 1000", "tun", 0, LinkOwner::Cluster);
        check("", "bridge", ownership::group(NetId::new(1)), LinkOwner::Cluster);
        check(PREPARED_MARK, "bridge", 0, LinkOwner::Prepared);
        check(PREPARED_MARK, "dummy", 0, LinkOwner::Foreign);
        check("xcluster: nsadd or so", "bridge", 0, LinkOwner::Foreign);
        check("", "bridge", 0, LinkOwner::Foreign);
    }
}
