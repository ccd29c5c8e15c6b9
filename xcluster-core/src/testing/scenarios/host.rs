//! Expectations about the host: it reaches the nodes, and they reach it.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::Node;
use crate::host::{Namespace, Netns};
use crate::testing::host::{Host, HostEcho};

use super::fixture::Fixture;

/// The TCP port of a node that the host connects to.
const PORT: u16 = 7002;

pub(super) async fn the_host_logs_in(fixture: &Fixture<'_>) {
    for node in fixture.cluster.nodes() {
        // Telnet begins with its negotiation: a byte that no text has.
        for (port, greeting) in [(22, &b"SSH-"[..]), (23, &[0xff])] {
            let mut said = vec![0; greeting.len()];
            let read = connect(&node, port).await.read_exact(&mut said).await;
            assert!(read.is_ok() && said == greeting, "{}, port {port}: {read:?}, {said:?}", node.name());
        }
    }
}

async fn connect(node: &Node, port: u16) -> TcpStream {
    let stream = node.connect(port).await.unwrap_or_else(|error| panic!("{error:?}"));
    stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)).expect("tokio takes the connection")
}

/// The node echoes what it gets.
pub(super) async fn megabytes_come_back(fixture: &Fixture<'_>) {
    let sent: Vec<u8> = (0..4_194_305).map(|index: u32| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect();
    let server = fixture.serving(2, PORT, "cat").await;
    let node = fixture.cluster.node(2).expect("the scenario has this node");
    let (mut receiving, mut sending) = connect(&node, PORT).await.into_split();
    let mut got = Vec::new();
    let send = async {
        sending.write_all(&sent).await?;
        sending.shutdown().await
    };
    let exchanged = tokio::try_join!(send, receiving.read_to_end(&mut got));
    assert!(exchanged.is_ok() && sent == got, "{} bytes came back of {}: {exchanged:?}", got.len(), sent.len());
    drop(server);
}

/// The host is node 250 of each net that it has access to.
pub(super) async fn nodes_reach_it(fixture: &Fixture<'_>) {
    let namespace = namespace(fixture).await;
    let echo = HostEcho::start(Host { namespace: namespace.as_ref() }).unwrap_or_else(|failed| panic!("{failed}"));
    for number in [1, 3] {
        let sent =
            fixture.run(number, "head -c 1048577 /dev/urandom >/tmp/sent-to-host; sha256sum </tmp/sent-to-host").await;
        for nic in fixture.with_host(number) {
            let host: [IpAddr; 2] = [nic.port.net.host_ipv4().into(), nic.port.net.host_ipv6().into()];
            for address in host {
                let ask = format!("nc {address} {} </tmp/sent-to-host | sha256sum", echo.tcp);
                assert_eq!(fixture.run(number, ask).await, sent, "node {number} to {address}");
            }
        }
    }
}

/// The namespace of the cluster's networks, if it is not the test's.
async fn namespace(fixture: &Fixture<'_>) -> Option<Arc<Namespace>> {
    let inside = fixture.cluster.inside().await.unwrap_or_else(|error| panic!("{error:?}"))?;
    let (user, net) = inside.descriptors();
    let file = |descriptor: BorrowedFd<'_>| PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
    let namespace = Namespace::from_files(Netns::Private, user.map(file).as_deref(), &file(net));
    Some(Arc::new(namespace.expect("a namespace is opened by its files")))
}
