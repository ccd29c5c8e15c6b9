//! Finds the process that holds a port, as far as this user may know. Read from /proc, only for an error's text.

use std::fs;
use std::path::{Path, PathBuf};

/// A protocol whose sockets the kernel lists.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Table {
    Tcp,
    Udp,
}

/// The process with a local port: `process 4711 (nginx)`, or `another process`.
pub(crate) fn holder(table: Table, port: u16) -> String {
    let named = inodes(table, port).into_iter().find_map(|inode| process_with(&format!("socket:[{inode}]")));
    named.unwrap_or_else(|| "another process".to_owned())
}

/// The inodes of the sockets on a port, from the table of the thread, which may be in another network namespace.
fn inodes(table: Table, port: u16) -> Vec<String> {
    let files = match table {
        Table::Tcp => ["tcp", "tcp6"],
        Table::Udp => ["udp", "udp6"],
    };
    let texts = files.iter().filter_map(|file| fs::read_to_string(format!("/proc/thread-self/net/{file}")).ok());
    texts.flat_map(|text| text.lines().filter_map(|line| inode(line, port)).collect::<Vec<_>>()).collect()
}

/// Parses a line such as `0: 0100007F:2EE1 00000000:0000 0A … inode …`, if it has this port.
fn inode(line: &str, port: u16) -> Option<String> {
    let columns: Vec<&str> = line.split_whitespace().collect();
    let (_, local) = columns.get(1)?.split_once(':')?;
    let inode = *columns.get(9)?;
    // A closed connection has the inode 0.
    (u16::from_str_radix(local, 16).ok()? == port && inode != "0").then(|| inode.to_owned())
}

fn process_with(socket: &str) -> Option<String> {
    let pids =
        fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let (pid, process) =
        pids.map(|pid| (pid, PathBuf::from(format!("/proc/{pid}")))).find(|(_, path)| has(path, socket))?;
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    Some(format!("process {pid} ({})", name.trim()))
}

/// Whether a process has this socket open. Unreadable for processes of other users.
fn has(process: &Path, socket: &str) -> bool {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    descriptors.filter_map(|entry| fs::read_link(entry.path()).ok()).any(|target| target.as_os_str() == socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_port_is_named() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = holder(Table::Tcp, socket.local_addr().unwrap().port());
        assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
    }
}
