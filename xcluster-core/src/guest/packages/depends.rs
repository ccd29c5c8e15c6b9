//! What packages depend on, as `apt-cache depends --important --recurse` prints it. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// By package: what it depends on, the first of each set of alternatives.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Depends {
    packages: BTreeMap<String, Vec<String>>,
}

/// Reads the listing.
///
/// A package stands at the begin of a line, below it indented what it depends on; `|` says that the next line is an
/// alternative to this one. Further lines below an entry, indented more, name what provides it.
pub(super) fn parse(listing: &str) -> Depends {
    let mut depends = Depends::default();
    let (mut package, mut alternative) = (String::new(), false);
    for line in listing.lines() {
        if !line.starts_with(' ') {
            package = plain(line);
            depends.packages.entry(package.clone()).or_default();
        } else if let Some((kind, name)) = line.split_once("epends: ") {
            if !alternative && let Some(list) = depends.packages.get_mut(&package) {
                list.push(plain(name));
            }
            alternative = kind.contains('|');
        }
    }
    depends
}

/// A name without the marks of a virtual package or of a foreign architecture.
fn plain(name: &str) -> String {
    let name = name.trim().trim_start_matches('<').trim_end_matches('>');
    name.split(':').next().unwrap_or(name).to_owned()
}

impl Depends {
    /// The packages to download: those of the roots, and of all that they depend on, that are part of a guest; sorted.
    ///
    /// What is no part is not followed either: `adduser` or an initramfs builder bring half a distribution with them.
    pub(super) fn closure<'a>(
        &self,
        roots: impl IntoIterator<Item = &'a str>,
        is_part: impl Fn(&str) -> bool,
    ) -> Vec<String> {
        let mut todo: Vec<String> = roots.into_iter().map(str::to_owned).collect();
        let mut seen = BTreeSet::new();
        while let Some(name) = todo.pop() {
            if let Some(depends) = self.packages.get(&name)
                && seen.insert(name)
            {
                todo.extend(depends.iter().filter(|name| is_part(name)).cloned());
            }
        }
        // A package that only stands for others (`linux-image-cloud-amd64`) was followed; now it may go.
        seen.into_iter().filter(|name| is_part(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = "\
linux-image-cloud-amd64
  Depends: linux-image-6.1.0-56-cloud-amd64
linux-image-6.1.0-56-cloud-amd64
  Depends: kmod
 |Depends: linux-initramfs-tool
  Depends: dracut
kmod
  Depends: libc6
tcpdump
  Depends: adduser
  Depends: libc6
 |Depends: libpcap0.8
  Depends: libpcap0.8t64
  Depends: <debconf-2.0>
    cdebconf
    debconf
adduser
  PreDepends: libperl5
libc6
  Depends: libgcc-s1
libpcap0.8
  Depends: libc6
libgcc-s1
  Depends: gcc-12-base
<debconf-2.0>
libperl5
gcc-12-base
";

    #[test]
    fn the_first_of_alternatives_counts() {
        let depends = parse(LISTING);
        assert_eq!(depends.packages["tcpdump"], ["adduser", "libc6", "libpcap0.8", "debconf-2.0"]);
        assert_eq!(depends.packages["adduser"], ["libperl5"]);
    }

    #[test]
    fn only_parts_of_a_guest_are_followed() {
        let is_part = |name: &str| name.starts_with("lib") || name.starts_with("linux-image-6") || name == "tcpdump";
        let closure = parse(LISTING).closure(["linux-image-cloud-amd64", "tcpdump"], is_part);
        assert_eq!(closure, ["libc6", "libgcc-s1", "libpcap0.8", "linux-image-6.1.0-56-cloud-amd64", "tcpdump"]);
    }

    #[test]
    fn packages_that_depend_on_each_other_end() {
        let depends = parse("a\n  Depends: b\nb\n  Depends: a\n");
        assert_eq!(depends.closure(["a"], |_| true), ["a", "b"]);
    }
}
