//! A host to prepare namespaces on, and an outside that it is connected to. Both are namespaces, so nothing of them stays.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};
use xcluster_core::host::namespace::{NamedNetns, NamespaceEntry};
use xcluster_core::host::{Namespace, Netns};
use xcluster_core::testing::TestFailure;
use xcluster_net_bridge::prepared::{Index, NamespaceRequest, Owner, Prepared, prepare, remove};

/// The host's addresses on the link to the outside (from RFC 5737 and RFC 3849, for documentation).
pub(crate) const HOST: [&str; 2] = ["203.0.113.2", "2001:db8::2"];
/// Those of the outside.
pub(crate) const OUTSIDE: [&str; 2] = ["203.0.113.1", "2001:db8::1"];

/// Makes this process root, in a user namespace in which it is the only user. Must be called while it has one thread.
pub(crate) fn become_root() -> Result<(), TestFailure> {
    let (user, group) = (getuid(), getgid());
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
    fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
    for program in ["ip", "nft"] {
        let found = Command::new(program).arg("-V").output();
        found.map_err(|error| TestFailure::from(error).during(format!("there is no `{program}` here")))?;
    }
    Ok(())
}

/// A host and the outside, connected.
pub(crate) struct Fixture {
    pub(crate) outside: Namespace,
}

/// The visible state of a host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HostSnapshot(BTreeMap<String, String>);

impl Fixture {
    /// Moves this thread, and programs that it starts, to a host.
    pub(crate) fn new() -> Result<Self, TestFailure> {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none)?;
        let outside = Namespace::private()?;
        let fixture = Self { outside };
        let [(v4, v6), (far_v4, far_v6)] = [(HOST[0], HOST[1]), (OUTSIDE[0], OUTSIDE[1])];
        fixture.ip("link set lo up")?;
        fixture.connect("up0", &fixture.outside, "eth0")?;
        for (link, v4, v6, local) in [("up0", v4, v6, "fe80::2"), ("eth0", far_v4, far_v6, "fe80::1")] {
            let place = if link == "up0" { None } else { Some(&fixture.outside) };
            run_in(place, &format!("ip link set {link} addrgenmode none up"))?;
            run_in(place, &format!("ip address add {v4}/24 dev {link}"))?;
            run_in(place, &format!("ip address add {v6}/64 dev {link} nodad"))?;
            run_in(place, &format!("ip address add {local}/64 dev {link} nodad"))?;
        }
        fixture.ip(&format!("route add default via {far_v4}"))?;
        fixture.ip(&format!("-6 route add default via {far_v6} metric 2048"))?;
        for outside in OUTSIDE {
            is_connected(ip_address(outside))?;
        }
        Ok(fixture)
    }

    /// Runs a command on the host.
    pub(crate) fn run(&self, args: &str) -> Result<String, TestFailure> {
        run_in(None, args)
    }

    pub(crate) fn ip(&self, args: &str) -> Result<String, TestFailure> {
        self.run(&format!("ip {args}"))
    }

    pub(crate) fn nft(&self, args: &str) -> Result<String, TestFailure> {
        run_args(None, &["nft", args])
    }

    /// A veth pair with its other end in another namespace. Both ends are down.
    pub(crate) fn connect(&self, name: &str, there: &Namespace, peer: &str) -> Result<(), TestFailure> {
        connect_from(None, name, there, peer)
    }

    /// The visible state of the host.
    pub(crate) fn look(&self) -> Result<HostSnapshot, TestFailure> {
        let commands = [
            "ip -details link",
            "ip address",
            "ip -4 route show table all",
            "ip -6 route show table all",
            "ip rule",
            "nft list ruleset",
        ];
        let mut seen = BTreeMap::new();
        for command in commands {
            seen.insert(command.to_owned(), self.run(command)?);
        }
        let mounts = "/proc/thread-self/mountinfo";
        seen.insert(mounts.to_owned(), fs::read_to_string(mounts)?);
        files(Path::new("/run"), &mut seen, false);
        files(Path::new("/proc/sys/net"), &mut seen, true);
        Ok(HostSnapshot(seen))
    }
}

impl HostSnapshot {
    /// Fails with the differences, unless it equals an earlier state.
    pub(crate) fn same_as(&self, before: &Self) -> Result<(), TestFailure> {
        let all = self.0.keys().chain(before.0.keys());
        let different = all.filter(|key| self.0.get(*key) != before.0.get(*key));
        let line = |key: &String| format!("{key}:\n  was {:?}\n  is  {:?}\n", before.0.get(key), self.0.get(key));
        let lines: String = different.map(line).collect();
        if lines.is_empty() { Ok(()) } else { Err(TestFailure::new(lines)) }
    }
}

/// Waits until the outside can be reached: the kernel still changes links for a moment after they were brought up.
fn is_connected(outside: IpAddr) -> Result<(), TestFailure> {
    /// The port has no listener, so the outside refuses the connection.
    const DISCARD: u16 = 9;
    match TcpStream::connect_timeout(&SocketAddr::new(outside, DISCARD), Duration::from_secs(20)) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        answer => Err(TestFailure::new(format!("{outside} answers {answer:?}"))),
    }
}

/// Files by path, with their contents on request.
fn files(folder: &Path, seen: &mut BTreeMap<String, String>, with_text: bool) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            seen.insert(path.display().to_string(), String::new());
            files(&path, seen, with_text);
            continue;
        }
        // It contains the number of current connections.
        let counts = path.ends_with("nf_conntrack_count");
        let text = if with_text && !counts { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        seen.insert(path.display().to_string(), text);
    }
}

/// Runs a command in the network namespace, or on the host.
pub(crate) fn run_in(place: Option<&Namespace>, args: &str) -> Result<String, TestFailure> {
    run_args(place, &args.split_whitespace().collect::<Vec<_>>())
}

fn run_args(place: Option<&Namespace>, args: &[&str]) -> Result<String, TestFailure> {
    let mut command = Command::new(args[0]);
    command.args(&args[1..]);
    if let Some((_, net)) = place.and_then(Namespace::descriptors) {
        NamespaceEntry::new(None, net.try_clone_to_owned()?).enter(&mut command);
    }
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(TestFailure::new(format!("{}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr))))
}

/// A veth pair from a namespace, or the host, to another.
pub(crate) fn connect_from(
    here: Option<&Namespace>,
    name: &str,
    there: &Namespace,
    peer: &str,
) -> Result<(), TestFailure> {
    let Some((_, net)) = there.descriptors() else { return Err(TestFailure::new("it is no other namespace")) };
    let net = format!("/proc/{}/fd/{}", std::process::id(), net.as_raw_fd());
    run_in(here, &format!("ip link add {name} type veth peer name {peer} netns {net}")).map(drop)
}

/// The only user in the user namespace of this test.
pub(crate) fn root() -> Owner {
    Owner { name: "root".into(), uid: 0, gid: 0 }
}

pub(crate) fn wanted(number: u8) -> NamespaceRequest {
    NamespaceRequest { index: index(number), owner: root(), mtu: None, ipv6_prefix: None }
}

pub(crate) fn index(number: u8) -> Index {
    Index::new(number).expect("it is small")
}

pub(crate) async fn add(number: u8) -> Result<Prepared, TestFailure> {
    Ok(prepare(&wanted(number)).await?)
}

pub(crate) async fn delete(number: u8) -> Result<Option<NamedNetns>, TestFailure> {
    Ok(remove(index(number), &root()).await?.name)
}

pub(crate) fn name(number: u8) -> NamedNetns {
    NamedNetns::of_user("root", number).expect("it is a file's name")
}

/// The namespace, opened by its files.
pub(crate) fn open(number: u8) -> Result<Namespace, TestFailure> {
    Ok(Namespace::open(&Netns::Named(name(number)))?)
}

pub(crate) fn setting(path: &str) -> PathBuf {
    Path::new("/proc/sys/net").join(path)
}

pub(crate) fn read(path: &str) -> Result<String, TestFailure> {
    let read = fs::read_to_string(setting(path)).map_err(|error| TestFailure::from(error).during(path))?;
    Ok(read.trim_end().to_owned())
}

pub(crate) fn ip_address(text: &str) -> IpAddr {
    text.parse().expect("it is an address")
}
