//! Which network namespace a word means, and which one nobody has to name. Opens none.

use nix::unistd::{Uid, User};
use xcluster_core::host::namespace::{NamedNetns, Netns};

use super::parse;

/// The links of the network namespace that we are in.
const LINKS: &str = "/proc/thread-self/net/dev";

/// The bridge of the internal net. Where it is, somebody has prepared a namespace for clusters, and brought us into it.
const BRIDGE: &str = "xcbr0";

/// `private`, `here`, a name, or a number of the caller's.
pub(super) fn parse(text: &str) -> Result<Netns, String> {
    match parse::number::<u8>(text) {
        Ok(number) => of_caller(number).map(Netns::Named),
        Err(_) => text.parse().map_err(|error| format!("{error}")),
    }
}

/// The namespace that `nsadd` made for the caller under a number.
pub(crate) fn of_caller(number: u8) -> Result<NamedNetns, String> {
    let uid = Uid::current();
    let user = User::from_uid(uid).ok().flatten().ok_or_else(|| format!("your user id {uid} has no name here"))?;
    NamedNetns::of_user(&user.name, number).map_err(|error| error.to_string())
}

/// The one that is used where nobody has named one.
pub(super) fn usual() -> Netns {
    // Where it cannot be read there is nothing to be used.
    let links = std::fs::read_to_string(LINKS).unwrap_or_default();
    if has_link(&links, BRIDGE) { Netns::Here } else { Netns::Private }
}

/// Whether the kernel's table of links, which begins with two lines of headings, has this one.
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
