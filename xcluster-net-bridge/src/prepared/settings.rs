//! Settings of the kernel in `/proc/sys/net`: records which of them a change has altered, and restores all of them.
//! `/proc/sys/net` shows those of the reading thread's network namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::PreparedError;

/// The folder of the settings.
const ROOT: &str = "/proc/sys/net";
/// Folders with a subfolder for each link, for future links (`default`) and for the host (`all`).
const OF_LINKS: [&str; 2] = ["ipv4/conf", "ipv6/conf"];
/// Forwarding of IPv4. Writing it changes `forwarding` and `accept_redirects` of every link.
const FORWARD_IPV4: &str = "ipv4/ip_forward";
/// Forwarding of IPv6. Writing it changes `forwarding` of every link.
const FORWARD_IPV6: &str = "ipv6/conf/all/forwarding";

/// Values by path below `/proc/sys/net`.
pub(super) type Values = BTreeMap<String, String>;

/// The record of changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Changes {
    /// The links at that time. Later ones got the settings of `default`.
    links: BTreeSet<String>,
    files: BTreeMap<String, LinkChange>,
}

/// A value and the one before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkChange {
    before: String,
    after: String,
}

impl Changes {
    /// Records the differences between two times.
    pub(super) fn note(&mut self, before: &Values, after: &Values) {
        self.links.extend(before.keys().filter_map(|path| link(path)).map(str::to_owned));
        for (path, after) in after {
            let Some(before) = before.get(path).filter(|before| *before != after) else { continue };
            let change = self
                .files
                .entry(path.clone())
                .or_insert_with(|| LinkChange { before: before.clone(), after: before.clone() });
            // Another program has changed it in between: that value is the one to restore.
            if change.after != *before {
                change.before = before.clone();
            }
            change.after = after.clone();
        }
    }

    /// The settings to restore: the old value of each that still has our value. Settings that others have changed
    /// since, and links that are new since, are left alone.
    fn restored(&self, now: &Values) -> Values {
        let old = |path: &String, value: &String| match self.files.get(path) {
            Some(change) if change.after == *value => change.before.clone(),
            _ => value.clone(),
        };
        let known = |path: &str| link(path).is_none_or(|link| self.links.contains(link));
        now.iter().filter(|(path, _)| known(path)).map(|(path, value)| (path.clone(), old(path, value))).collect()
    }
}

/// The link that a setting belongs to.
fn link(path: &str) -> Option<&str> {
    OF_LINKS.iter().find_map(|folder| path.strip_prefix(folder)?.strip_prefix('/')?.split('/').next())
}

/// Whether the kernel has IPv6 at all.
pub(super) fn has_ipv6() -> bool {
    Path::new(ROOT).join("ipv6").exists()
}

/// The settings to change so that this namespace forwards packets. `advertised` are the links with a default route from a
/// router's advertisement. Settings that are right already are left out.
pub(super) fn for_forwarding(now: &Values, advertised: &[String]) -> Vec<(String, &'static str)> {
    // A router ignores advertisements and forgets those it has, unless it was told to listen before it became one.
    let listen = advertised.iter().map(|link| (format!("ipv6/conf/{link}/accept_ra"), "2"));
    let listen = listen.filter(|(path, _)| now.get(path).is_some_and(|value| value == "1"));
    let forward = [FORWARD_IPV4, FORWARD_IPV6].map(|path| (path.to_owned(), "1"));
    let forward = forward.into_iter().filter(|(path, value)| now.get(path).is_some_and(|now| now != value));
    forward.clone().next().map(|_| listen.chain(forward).collect()).unwrap_or_default()
}

/// The links with an IPv6 default route from an advertisement that the kernel itself processed.
pub(super) fn advertised_links() -> Vec<String> {
    advertised(&fs::read_to_string("/proc/thread-self/net/ipv6_route").unwrap_or_default())
}

/// Reads a table like /proc/net/ipv6_route: destination, prefix length, source, prefix length, gateway, metric, two counters,
/// flags, link.
fn advertised(table: &str) -> Vec<String> {
    /// `RTF_ADDRCONF` and `RTF_DEFAULT` of linux/ipv6_route.h.
    const FROM_ADVERTISEMENT: u32 = 0x0004_0000 | 0x0001_0000;
    let route = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let flags = u32::from_str_radix(columns.get(8)?, 16).ok()?;
        (flags & FROM_ADVERTISEMENT == FROM_ADVERTISEMENT).then(|| columns.get(9).map(|&link| link.to_owned()))?
    };
    table.lines().filter_map(route).collect()
}

/// All settings that a change of forwarding may alter. Unreadable ones are left out.
pub(super) fn look() -> Values {
    let mut values = Values::new();
    let mut read = |path: String| {
        if let Ok(value) = fs::read_to_string(Path::new(ROOT).join(&path)) {
            values.insert(path, value.trim_end().to_owned());
        }
    };
    read(FORWARD_IPV4.to_owned());
    for folder in OF_LINKS {
        for link in names(&Path::new(ROOT).join(folder)) {
            for setting in names(&Path::new(ROOT).join(folder).join(&link)) {
                read(format!("{folder}/{link}/{setting}"));
            }
        }
    }
    values
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Sets a setting.
pub(super) fn set(path: &str, value: &str) -> Result<(), PreparedError> {
    let file = Path::new(ROOT).join(path);
    fs::write(&file, value).map_err(PreparedError::at(&format!("write {value} to"), &file))
}

/// Enables IPv6 on a link, also where links do not get it by default, and without duplicate address detection. Neighbour
/// discovery uses the link's own address, so nothing is forwarded until detection ends a second or two later.
pub(super) fn ready_ipv6(link: &str) -> Result<(), PreparedError> {
    for setting in ["disable_ipv6", "accept_dad"] {
        let path = format!("ipv6/conf/{link}/{setting}");
        match fs::read_to_string(Path::new(ROOT).join(&path)) {
            Ok(value) if value.trim_end() != "0" => set(&path, "0")?,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(PreparedError::at("read", &Path::new(ROOT).join(&path))(error)),
        }
    }
    Ok(())
}

/// Restores settings. Returns those that could not be restored.
pub(super) fn restore(changes: &Changes) -> Vec<PreparedError> {
    let now = look();
    let request = changes.restored(&now);
    // These change other settings, even some that were right.
    let first = [FORWARD_IPV4, FORWARD_IPV6].into_iter().filter_map(|path| Some((path, request.get(path)?)));
    let mut failed: Vec<_> = first
        .filter(|(path, value)| now.get(*path) != Some(value))
        .filter_map(|(path, value)| set(path, value).err())
        .collect();
    // Some of the rest change others again, as `default` does for links. So compare again, a limited number of times.
    for _ in 0..4 {
        let now = look();
        let different = request.iter().filter(|(path, value)| now.get(*path).is_some_and(|now| now != *value));
        let errors: Vec<_> = different.filter_map(|(path, value)| set(path, value).err()).collect();
        if !errors.is_empty() {
            failed.extend(errors);
            break;
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> Values {
        pairs.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn changed_settings_are_restored() {
        let before = values(&[("ipv4/ip_forward", "0"), ("ipv4/conf/eth0/forwarding", "1")]);
        let after = values(&[("ipv4/ip_forward", "1"), ("ipv4/conf/eth0/forwarding", "1")]);
        let mut changes = Changes::default();
        changes.note(&before, &after);
        assert_eq!(changes.restored(&after), before);
        changes.note(&after, &after);
        assert_eq!(changes.restored(&after), before);
    }

    #[test]
    fn a_setting_that_somebody_else_changed_since_stays() {
        let mut changes = Changes::default();
        let (zero, one) = (values(&[("ipv4/conf/eth0/rp_filter", "0")]), values(&[("ipv4/conf/eth0/rp_filter", "1")]));
        let two = values(&[("ipv4/conf/eth0/rp_filter", "2")]);
        changes.note(&zero, &one);
        assert_eq!(changes.restored(&two), two);
        // A user set it to 2, and we set it to 1 again.
        changes.note(&two, &one);
        assert_eq!(changes.restored(&one), two);
    }

    #[test]
    fn a_link_that_has_come_since_is_left_alone() {
        let mut changes = Changes::default();
        changes.note(&values(&[("ipv4/ip_forward", "0")]), &values(&[("ipv4/ip_forward", "1")]));
        let now = values(&[("ipv4/ip_forward", "1"), ("ipv4/conf/new0/forwarding", "1")]);
        assert_eq!(changes.restored(&now), values(&[("ipv4/ip_forward", "0")]));
    }

    #[test]
    fn an_advertised_default_route_is_kept_by_listening_on() {
        let table = "\
            fd000000000000000000000000000000 40 00000000000000000000000000000000 00 \
            00000000000000000000000000000000 00000100 00000001 00000000 00400001     eth0\n\
            00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
            fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0\n";
        assert_eq!(advertised(table), ["eth0"]);
        let now =
            values(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "0"), ("ipv6/conf/eth0/accept_ra", "1")]);
        let request = for_forwarding(&now, &["eth0".to_owned()]);
        assert_eq!(request, [("ipv6/conf/eth0/accept_ra".to_owned(), "2"), (FORWARD_IPV6.to_owned(), "1")]);
        let done = values(&[("ipv4/ip_forward", "1"), ("ipv6/conf/all/forwarding", "1")]);
        assert_eq!(for_forwarding(&done, &["eth0".to_owned()]), []);
    }
}
