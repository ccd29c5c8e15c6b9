//! Expectations about the internal net: the host and each node reach each other, the nodes do not.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use xcluster_core::Cluster;

use crate::harness::{attempt, need, run};

/// How long the host waits for a login.
const LOGIN: Duration = Duration::from_secs(60);

pub(crate) async fn the_host_logs_in_by_telnet(cluster: &Cluster) {
    for (node, name) in [(1, "vm-001"), (221, "vm-221")] {
        let said = by_telnet(cluster, node, "echo I am $(hostname)", &format!("I am {name}")).await;
        assert!(said.contains("# "), "no prompt: {said}");
    }
}

/// Types a line on a node by telnet, and returns the output until an answer arrives.
pub(crate) async fn by_telnet(cluster: &Cluster, node: u8, line: &str, answer: &str) -> String {
    let stream = cluster.node(node).unwrap().connect(23).await.unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from_std(stream).unwrap();
    let mut said = Vec::new();
    timeout(LOGIN, async {
        read_until(&mut stream, &mut said, "# ").await;
        stream.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
        read_until(&mut stream, &mut said, answer).await;
    })
    .await
    .unwrap_or_else(|_| panic!("no answer `{answer}` in {:?}", String::from_utf8_lossy(&said)));
    String::from_utf8_lossy(&said).into_owned()
}

async fn read_until(stream: &mut TcpStream, said: &mut Vec<u8>, text: &str) {
    while !String::from_utf8_lossy(said).contains(text) {
        assert_ne!(stream.read_buf(said).await.unwrap(), 0, "closed after {:?}", String::from_utf8_lossy(said));
    }
}

pub(crate) async fn the_host_logs_in_by_ssh(cluster: &Cluster) {
    need("ssh");
    let address = address(cluster, 2, 22).await;
    let mut ssh = tokio::process::Command::new("ssh");
    // Without the keys and settings of the user who runs the test.
    ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "IdentityFile=none", "-o", "LogLevel=ERROR"]);
    ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    ssh.args(["-p", &address.port().to_string(), "root@127.0.0.1", "hostname; exit 3"]);
    let output = timeout(LOGIN, ssh.stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "vm-002\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(3));
}

pub(crate) async fn nobody_logs_in_from_another_net(cluster: &Cluster) {
    for address in ["192.168.1.2", "1000::1:192.168.1.2"] {
        run(cluster, 1, format!("ping -c1 -W5 {address}")).await;
        for port in [22, 23] {
            let login = attempt(cluster, 1, format!("nc -w5 {address} {port} </dev/null")).await;
            assert!(!login.status.success() && login.stdout.is_empty(), "{address} {port}: {}", login.text());
        }
    }
}

/// QEMU's own TCP/IP announces a router, which would get the traffic of the topology's routes.
pub(crate) async fn no_router_is_learnt(cluster: &Cluster) {
    for node in [1, 201, 221] {
        assert_eq!(run(cluster, node, "ip -6 route show default dev eth0").await, "");
    }
}

/// The host's address for a TCP port of a node.
pub(crate) async fn address(cluster: &Cluster, node: u8, port: u16) -> SocketAddr {
    let address = cluster.node(node).unwrap().address(port).await.unwrap();
    let address = address.unwrap_or_else(|| panic!("port {port} of node {node} is not forwarded"));
    assert!(address.ip().is_loopback(), "{address}");
    address
}

pub(crate) async fn nodes_do_not_reach_each_other(cluster: &Cluster) {
    for other in ["192.168.0.2", "1000::1:192.168.0.2", "192.168.0.201"] {
        let ping = attempt(cluster, 1, format!("ping -c1 -W1 {other}")).await;
        assert!(!ping.status.success(), "{}", ping.text());
    }
    let telnet = attempt(cluster, 1, "nc -w1 192.168.0.2 23 </dev/null").await;
    assert!(!telnet.status.success() && telnet.stdout.is_empty(), "{}", telnet.text());
}

pub(crate) async fn the_host_has_a_name(cluster: &Cluster) {
    run(cluster, 1, "ping -c1 -W5 host").await;
}

/// QEMU's own TCP/IP has a name server, whose default address is node 3's.
pub(crate) async fn nobody_answers_for_a_node(cluster: &Cluster) {
    run(cluster, 1, "arping -c1 -w5 -I eth0 192.168.0.250").await;
    for other in [2, 3, 4, 15] {
        let arping = attempt(cluster, 1, format!("arping -c1 -w1 -I eth0 192.168.0.{other}")).await;
        assert!(!arping.status.success(), "{}", arping.text());
    }
}

/// A server on this host that sends a text to each client.
pub(crate) struct Listener {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn v4() -> Self {
        Self::on("127.0.0.1:0").await
    }

    pub(crate) async fn v6() -> Self {
        Self::on("[::1]:0").await
    }

    async fn on(address: &str) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let greeting = greeting(address.port());
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(greeting.as_bytes()).await;
            }
        });
        Self { address, serving }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The text that it sends.
    pub(crate) fn greeting(&self) -> String {
        greeting(self.port())
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn greeting(port: u16) -> String {
    format!("hello from port {port}")
}
