//! Claims about the host: it is on every net, and has no part of it where its own links are.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::process::Command;

use nix::libc;
use nix::sys::socket::{Backlog, SockaddrStorage, bind, listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use xcluster_core::host::{Namespace, Netns};
use xcluster_core::{Cluster, Node};

use crate::lab::{both, links, run};
use crate::nets::serving;

pub(crate) async fn programs_in_the_namespace_see_the_bridges(cluster: &Cluster) {
    let mut command = Command::new("cat");
    command.arg("/proc/self/net/dev");
    cluster.inside().await.unwrap().expect("the cluster has a namespace").enter(&mut command);
    let table = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let mut seen: Vec<&str> = table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    seen.sort_unstable();
    let taps = ["_t1", "_t2", "_t201", "_t221"].map(|tap| format!("xcbr0{tap}"));
    let bridges = ["lo", "xcbr0", "xcbr1", "xcbr1_t1", "xcbr1_t2", "xcbr1_t201", "xcbr2", "xcbr2_t201", "xcbr2_t221"];
    let mut expected: Vec<&str> = taps.iter().map(String::as_str).chain(bridges).collect();
    expected.sort_unstable();
    assert_eq!(seen, expected);
}

pub(crate) async fn the_host_logs_in(cluster: &Cluster) {
    for node in cluster.nodes() {
        for (port, greeting) in [(22, "SSH-"), (23, "\u{fffd}")] {
            let mut said = [0; 4];
            connect(&node, port).await.read_exact(&mut said).await.unwrap();
            let said = String::from_utf8_lossy(&said);
            // Telnet begins with what it negotiates, a byte that is in no text.
            assert!(said.starts_with(greeting), "{}, port {port}: {said:?}", node.name());
        }
    }
}

async fn connect(node: &Node, port: u16) -> TcpStream {
    let stream = node.connect(port).await.unwrap();
    stream.set_nonblocking(true).unwrap();
    TcpStream::from_std(stream).unwrap()
}

/// As node 250 of each of them.
pub(crate) async fn nodes_reach_the_host_on_every_net(cluster: &Cluster) {
    let inside = cluster.inside().await.unwrap().expect("the cluster has a namespace");
    let (user, net) = inside.descriptors();
    let file = |descriptor: BorrowedFd<'_>| PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
    let user = user.map(file);
    let namespace = Namespace::from_files(Netns::Private, user.as_deref(), &file(net)).unwrap();
    for (node, net) in [(1, 0), (2, 1), (221, 2), (201, 2)] {
        for address in both(&format!("192.168.{net}.250")) {
            let ip: IpAddr = address.parse().unwrap();
            let listener = listen_in(&namespace, SocketAddr::new(ip, 0));
            let port = listener.local_addr().unwrap().port();
            let serve = async {
                let (mut stream, from) = listener.accept().await.unwrap();
                stream.write_all(b"the host's word").await.unwrap();
                from.ip()
            };
            let (from, said) = tokio::join!(serve, run(cluster, node, format!("nc {address} {port} </dev/null")));
            assert_eq!(said, "the host's word", "node {node} to {address}");
            assert_eq!(
                from,
                both(&format!("192.168.{net}.{node}"))[usize::from(ip.is_ipv6())].parse::<IpAddr>().unwrap()
            );
        }
    }
}

/// A listener made of a socket of the namespace, used from outside of it.
fn listen_in(namespace: &Namespace, address: SocketAddr) -> TcpListener {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = namespace.socket(family, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0).unwrap();
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
    listen(&socket, Backlog::new(1).unwrap()).unwrap();
    TcpListener::from_std(socket.into()).unwrap()
}

/// There and back: the node answers with what it got.
pub(crate) async fn megabytes_of_the_host_arrive_as_they_were_sent(cluster: &Cluster) {
    let sent: Vec<u8> = (0..4 << 20).map(|index: u32| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect();
    let server = serving(cluster, 2, 7002, "cat").await;
    let (mut receiving, mut sending) = connect(&cluster.node(2).unwrap(), 7002).await.into_split();
    let mut got = Vec::new();
    let send = async {
        sending.write_all(&sent).await?;
        sending.shutdown().await
    };
    tokio::try_join!(send, receiving.read_to_end(&mut got)).unwrap();
    assert!(sent == got, "{} bytes came back of {}, or others", got.len(), sent.len());
    drop(server);
}

/// Neither a link nor a way: the host's own routes do not lead to a node.
pub(crate) async fn nothing_is_known_outside(cluster: &Cluster) {
    assert!(!links().iter().any(|link| link.starts_with("xcbr")), "{:?}", links());
    assert_eq!(cluster.node(1).unwrap().address(22).await.unwrap(), None);
}
