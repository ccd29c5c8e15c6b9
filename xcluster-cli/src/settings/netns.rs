//! The network namespace of a cluster: the values of `--netns`, and the default. Opens none.

use nix::unistd::{Uid, User};
use xcluster_core::host::namespace::{NamedNetns, Netns};

use super::parse;

/// The kernel's list of links in the current network namespace.
const LINKS: &str = "/proc/thread-self/net/dev";

/// The bridge of the internal net. If it exists, we were started in a namespace that was prepared for clusters.
const BRIDGE: &str = "xcbr0";

/// `private`, `here`, a name, or the number of one of the caller's namespaces.
pub(super) fn parse(text: &str) -> Result<Netns, String> {
    match parse::number::<u8>(text) {
        Ok(number) => of_caller(number).map(Netns::Named),
        Err(_) => text.parse().map_err(|error| format!("{error}")),
    }
}

/// The namespace with this number that `nsadd` made for the caller.
pub(crate) fn of_caller(number: u8) -> Result<NamedNetns, String> {
    let uid = Uid::current();
    let user = User::from_uid(uid).ok().flatten().ok_or_else(|| format!("your user id {uid} has no user name"))?;
    NamedNetns::of_user(&user.name, number).map_err(|error| error.to_string())
}

/// The default namespace.
pub(super) fn default() -> Netns {
    // Without /proc the default is a private namespace.
    let links = std::fs::read_to_string(LINKS).unwrap_or_default();
    if has_link(&links, BRIDGE) { Netns::Here } else { Netns::Private }
}

/// Whether the kernel's table of links, which begins with two heading lines, contains this link.
fn has_link(table: &str, name: &str) -> bool {
    table.lines().skip(2).any(|line| line.split(':').next().is_some_and(|link| link.trim() == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_found_by_its_whole_name() {
        let table = "Inter-|   Receive\n face |bytes\n    lo:       0 0\nxcbr0_t1:    8 1\n xcbr1:    8 1\n";
        assert!(has_link(table, "xcbr1") && has_link(table, "lo"));
        assert!(!has_link(table, "xcbr0") && !has_link(table, "face") && !has_link("", "lo"));
    }

    #[test]
    fn a_number_means_a_namespace_of_the_callers() {
        let Ok(Netns::Named(name)) = parse("7") else { panic!("a number is a name") };
        assert!(name.as_str().ends_with("_xcluster7"), "{name}");
        assert_eq!(parse("here"), Ok(Netns::Here));
        assert_eq!(parse("alice_xcluster1").unwrap().to_string(), "alice_xcluster1");
        assert!(parse("a/b").unwrap_err().contains("not the name of a network namespace"));
    }
}
