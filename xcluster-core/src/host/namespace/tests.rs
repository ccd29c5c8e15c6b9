//! Tests of namespaces, as the user who runs the tests.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::Command;

use super::*;

/// The kernel's number of the calling thread's namespace.
fn ours() -> u64 {
    Namespace::here().id().unwrap()
}

#[test]
fn many_private_namespaces_are_had_at_once_and_ours_is_never_left() {
    let before = ours();
    let ids: Vec<u64> = std::thread::scope(|scope| {
        let opened: Vec<_> = (0..20).map(|_| scope.spawn(Namespace::private)).collect();
        let namespaces: Vec<Namespace> = opened.into_iter().map(|opened| opened.join().unwrap().unwrap()).collect();
        namespaces.iter().map(|namespace| namespace.id().unwrap()).collect()
    });
    let mut different = ids.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!((different.len(), ids.contains(&before)), (20, false));
    assert_eq!(ours(), before);
}

#[test]
fn descriptors_of_a_namespace_are_closed_when_a_program_is_executed() {
    let namespace = Namespace::private().unwrap();
    let opened = [namespace.tun().unwrap(), namespace.netlink().unwrap()];
    let (user, net) = namespace.descriptors().unwrap();
    for descriptor in opened.iter().map(AsFd::as_fd).chain([net]).chain(user) {
        let flags = nix::fcntl::fcntl(descriptor, nix::fcntl::FcntlArg::F_GETFD).unwrap();
        assert_ne!(flags & libc::FD_CLOEXEC, 0);
    }
}

#[tokio::test]
async fn a_socket_connects_where_it_was_opened() {
    let namespace = Namespace::private().unwrap();
    let socket = namespace.socket(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 7001));
    let listener = listen_on(socket, address);
    let mut connected = namespace.connect(address).await.unwrap().into_std().unwrap();
    connected.set_nonblocking(false).unwrap();
    connected.write_all(b"within").unwrap();
    drop(connected);
    let mut heard = String::new();
    listener.accept().unwrap().0.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "within");
    // Each namespace has its own loopback.
    let elsewhere = Namespace::private().unwrap().connect(address).await.unwrap_err();
    assert_eq!(elsewhere.kind(), io::ErrorKind::ConnectionRefused);
}

/// A listener on a socket of a namespace.
fn listen_on(socket: OwnedFd, address: SocketAddr) -> TcpListener {
    use nix::sys::socket::{Backlog, SockaddrStorage, bind, listen};
    bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &SockaddrStorage::from(address)).unwrap();
    listen(&socket, Backlog::new(1).unwrap()).unwrap();
    socket.into()
}

/// The program's user ID and its capabilities, from `id -u` and its status in /proc.
#[test]
fn a_program_inside_has_privileges_and_is_who_it_was() {
    let namespace = Namespace::private().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", "id -u; readlink /proc/self/ns/net; grep CapAmb /proc/self/status; ls /proc/self/fd"]);
    namespace.inside().unwrap().unwrap().enter(&mut command);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut lines = said.lines();
    assert_eq!(lines.next(), Some(nix::unistd::geteuid().to_string().as_str()));
    assert_eq!(lines.next(), Some(format!("net:[{}]", namespace.id().unwrap()).as_str()));
    let ambient = lines.next().and_then(|line| line.split_whitespace().nth(1)).unwrap();
    // CAP_NET_ADMIN is number 12 (linux/capability.h).
    assert_ne!(u64::from_str_radix(ambient, 16).unwrap() & (1 << 12), 0, "{said}");
}

#[test]
fn a_name_that_nobody_prepared_is_reported() {
    let name = NamedNetns::new("nobody_xcluster99").unwrap();
    let error = Namespace::open(&Netns::Named(name)).unwrap_err();
    assert_eq!(error.to_string(), "there is no network namespace `nobody_xcluster99`");
    assert_eq!(error.remedy().as_deref(), Some("sudo xcluster nsadd 99"));
}

/// A program that starts another in the background and stays. The other prints its process ID.
fn household(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    Namespace::private().unwrap().inside().unwrap().unwrap().isolate(&mut command, IsolatedNet::Entered).unwrap();
    command
}

/// The processes that write to this pipe: it ends when all of them have.
fn ends(mut output: impl Read) -> String {
    let mut said = String::new();
    output.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn a_contained_program_ends_as_it_would_elsewhere() {
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 128 + 9), ("true", 0)] {
        assert_eq!(household(script).status().unwrap().code(), Some(code), "{script}");
    }
}

#[test]
fn what_a_contained_program_started_ends_with_it() {
    let mut child = household("sleep 1000 & echo $$").spawn().unwrap();
    let output = child.stdout.take().unwrap();
    assert!(child.wait().unwrap().success());
    // The output ends although the background process had it open.
    assert_eq!(ends(output), "2\n");
}

#[test]
fn what_a_contained_program_started_ends_when_its_process_is_killed() {
    let mut child = household("setsid sleep 1000 & echo here; wait").spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 5]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ends(output), "");
}

#[test]
fn what_a_contained_program_started_ends_with_the_thread_that_started_it() {
    let starter = std::thread::spawn(|| {
        let mut child = household("setsid sleep 1000 & echo here; wait").spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        output.read_exact(&mut [0; 5]).unwrap();
        (child, output)
    });
    let (mut child, output) = starter.join().unwrap();
    assert_eq!(ends(output), "");
    assert!(!child.wait().unwrap().success());
}

#[test]
fn a_contained_program_that_is_not_there_is_an_error_at_once() {
    let mut command = Command::new("/nonexistent/program");
    Namespace::private().unwrap().inside().unwrap().unwrap().isolate(&mut command, IsolatedNet::Entered).unwrap();
    assert_eq!(command.spawn().unwrap_err().kind(), io::ErrorKind::NotFound);
}
