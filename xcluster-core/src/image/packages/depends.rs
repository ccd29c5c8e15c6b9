//! Reads the dependencies of packages, as `apt-cache depends --important --recurse` prints them. Pure.

use std::collections::{BTreeMap, BTreeSet};

/// The dependencies of each package. Of several alternatives, only the first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Depends {
    packages: BTreeMap<String, Vec<String>>,
}

/// Reads the listing.
///
/// The name of a package is at the begin of a line. Its dependencies follow, indented; `|` means that the next line is an
/// alternative to this one. Lines with more indentation name the packages that provide a virtual one.
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

/// Returns a name without the marks of a virtual package or of another architecture.
fn plain(name: &str) -> String {
    let name = name.trim().trim_start_matches('<').trim_end_matches('>');
    name.split(':').next().unwrap_or(name).to_owned()
}

impl Depends {
    /// Returns the roots and their direct and indirect dependencies, without those that `is_part` rejects; sorted.
    ///
    /// The dependencies of a rejected package are not followed: `adduser` or an initramfs builder depend on hundreds.
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
        // A root that only depends on others (`linux-image-cloud-amd64`) was needed until here.
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
    fn only_the_first_alternative_is_a_dependency() {
        let depends = parse(LISTING);
        assert_eq!(depends.packages["tcpdump"], ["adduser", "libc6", "libpcap0.8", "debconf-2.0"]);
        assert_eq!(depends.packages["adduser"], ["libperl5"]);
    }

    #[test]
    fn only_parts_of_an_image_are_followed() {
        let is_part = |name: &str| name.starts_with("lib") || name.starts_with("linux-image-6") || name == "tcpdump";
        let closure = parse(LISTING).closure(["linux-image-cloud-amd64", "tcpdump"], is_part);
        assert_eq!(closure, ["libc6", "libgcc-s1", "libpcap0.8", "linux-image-6.1.0-56-cloud-amd64", "tcpdump"]);
    }

    #[test]
    fn packages_that_depend_on_each_other_do_not_loop() {
        let depends = parse("a\n  Depends: b\nb\n  Depends: a\n");
        assert_eq!(depends.closure(["a"], |_| true), ["a", "b"]);
    }
}
