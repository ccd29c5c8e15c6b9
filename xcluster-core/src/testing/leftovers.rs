//! The objects of a host before and after a test: processes, links, sockets, files. The caller knows which differences are allowed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::host::Namespace;

use super::{TestFailure, ensure, netns};

/// How long leftovers may still be seen while they end, and how often to look again.
const MOMENT: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_millis(10);

/// What the name of a host lock begins with in a snapshot.
const HOST_LOCK: &str = "host lock ";

/// What a [`Snapshot`] has.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    folders: Vec<PathBuf>,
    sessions: Vec<i32>,
    namespaces: Vec<Arc<Namespace>>,
}

impl Watch {
    /// The processes that descend from this one, the links, and the host locks of clusters. If the calling thread has its own
    /// network namespace, the processes in it instead, and also the ports of sockets that listen.
    pub fn new() -> Self {
        Self::default()
    }

    /// Also everything in this folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folders.push(folder.into());
        self
    }

    /// Also the processes of this session (setsid(2)), such as those that a detached owner left.
    #[must_use]
    pub fn session(mut self, leader: i32) -> Self {
        self.sessions.push(leader);
        self
    }

    /// Also the links and the host locks of this network namespace. It is kept for as long as it is watched.
    #[must_use]
    pub fn namespace(mut self, namespace: Arc<Namespace>) -> Self {
        self.namespaces.push(namespace);
        self
    }

    /// Takes a snapshot.
    pub fn look(&self) -> Snapshot {
        let mut things = BTreeSet::new();
        things.extend(self.processes().into_iter().map(|process| format!("process {process}")));
        things.extend(named(&proc_net("dev"), &proc_net("unix")));
        for namespace in &self.namespaces {
            let inside = |table| proc_net_inside(namespace, table).unwrap_or_else(|error| format!("{error}:"));
            things.extend(named(&inside("dev"), &inside("unix")).map(|thing| format!("{thing} in the namespace")));
        }
        if is_private() {
            things.extend(listeners());
        }
        for folder in &self.folders {
            files(folder, &mut things);
        }
        Snapshot(things)
    }

    /// Whether everything is as it was. Differences may last two seconds: a child that another thread has just forked holds all
    /// of our sockets until it executes its program, and no event tells when it does.
    ///
    /// # Errors
    /// What is new and what is gone.
    pub fn is_as(&self, before: &Snapshot) -> Result<(), TestFailure> {
        let late = Instant::now() + MOMENT;
        loop {
            match self.look().same_as(before) {
                Err(_) if Instant::now() < late => std::thread::sleep(AGAIN),
                outcome => return outcome,
            }
        }
    }

    fn processes(&self) -> Vec<String> {
        let all: BTreeMap<i32, Process> = pids().filter_map(|pid| Some((pid, Process::read(pid)?))).collect();
        let me = std::process::id().cast_signed();
        let here = netns::current().filter(|_| is_private());
        let ours = |pid: i32, process: &Process| {
            let near = match here {
                Some(here) => netns::inode(&format!("/proc/{pid}/ns/net")) == Some(here),
                None => descends(pid, me, &all),
            };
            near || self.sessions.contains(&process.session)
        };
        let found = all.iter().filter(|(pid, process)| **pid != me && ours(**pid, process));
        found.map(|(pid, process)| format!("{pid} ({})", process.name)).collect()
    }
}

/// The objects of a host at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeSet<String>);

impl Snapshot {
    /// Whether an earlier snapshot has the same. Host locks may be gone: nothing but their owner's end frees them, and a child that
    /// another thread had just forked may have held those of an earlier test.
    ///
    /// # Errors
    /// What is new and what is gone.
    pub fn same_as(&self, before: &Self) -> Result<(), TestFailure> {
        let new = self.0.difference(&before.0).map(|thing| format!("{thing} is new"));
        let gone = before.0.difference(&self.0).filter(|thing| !thing.starts_with(HOST_LOCK));
        let gone = gone.map(|thing| format!("{thing} is gone"));
        let differences: Vec<String> = new.chain(gone).collect();
        ensure(differences.is_empty(), || differences.join(", "))
    }
}

#[derive(Debug)]
struct Process {
    name: String,
    parent: i32,
    session: i32,
}

impl Process {
    /// From /proc/PID/stat: `pid (name) state parent group session …`, where a name may contain anything.
    fn read(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let mut fields = tail.split_whitespace().skip(1);
        let parent = fields.next()?.parse().ok()?;
        let session = fields.nth(1)?.parse().ok()?;
        Some(Self { name: head.split_once('(')?.1.to_owned(), parent, session })
    }
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Whether a process is a child of `ancestor`, or a child's child. The list may have a cycle, since processes come and go while
/// it is read: a chain is at most as long as the list.
fn descends(pid: i32, ancestor: i32, all: &BTreeMap<i32, Process>) -> bool {
    let parent = |pid: &i32| all.get(pid).map(|process| process.parent);
    std::iter::successors(parent(&pid), parent).take(all.len()).any(|pid| pid == ancestor)
}

/// Whether the calling thread has a network namespace that the process's first thread is not in.
fn is_private() -> bool {
    netns::current() != netns::of_process()
}

/// A table of the calling thread's network namespace.
fn proc_net(table: &str) -> String {
    fs::read_to_string(format!("/proc/thread-self/net/{table}")).unwrap_or_default()
}

/// A table of another network namespace. Only a process in it can read it, so one is started there.
fn proc_net_inside(namespace: &Namespace, table: &str) -> io::Result<String> {
    let mut command = Command::new("cat");
    command.arg(format!("/proc/self/net/{table}"));
    if let Some(inside) = namespace.inside()? {
        inside.enter(&mut command);
    }
    Ok(String::from_utf8_lossy(&command.output()?.stdout).into_owned())
}

/// The links and host locks in the kernel's tables.
fn named(links: &str, sockets: &str) -> impl Iterator<Item = String> + use<> {
    let links = column(links, 0).filter_map(|c| Some(format!("link {}", c.strip_suffix(':')?)));
    let host_locks = column(sockets, 7).filter(|c| c.starts_with("@xcluster/")).map(|c| format!("{HOST_LOCK}{c}"));
    links.chain(host_locks).collect::<Vec<_>>().into_iter()
}

fn column(table: &str, index: usize) -> impl Iterator<Item = &str> {
    table.lines().filter_map(move |line| line.split_whitespace().nth(index))
}

/// The ports of sockets that listen, as the kernel writes them: `0100007F:2EE1`.
fn listeners() -> Vec<String> {
    let ports = |table: &'static str, states: &'static [&str]| {
        let lines: Vec<String> = proc_net(table).lines().map(str::to_owned).collect();
        lines.into_iter().filter_map(move |line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let listens = states.contains(columns.get(3)?);
            listens.then(|| format!("{table} port {}", columns[1]))
        })
    };
    // TCP's LISTEN. A bound UDP socket has the state that TCP calls CLOSE.
    ports("tcp", &["0A"])
        .chain(ports("tcp6", &["0A"]))
        .chain(ports("udp", &["07"]))
        .chain(ports("udp6", &["07"]))
        .collect()
}

fn files(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        found.insert(format!("file {}", path.display()));
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files(&path, found);
        }
    }
}
