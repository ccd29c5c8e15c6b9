//! Tests of the uplink of a private namespace. The outside is another private namespace, in which this program is executed
//! again, so that the host's own networks play no part.

use std::env;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use xcluster_core::host::{Namespace, Uplink};

/// Set for the program in that namespace.
const OUTSIDE: &str = "XCLUSTER_TEST_OUTSIDE";

/// A host with one link and a default route through it.
const HOST: &str = "ip link add up0 type veth peer name up1 && ip link set up1 up && ip link set up0 up && \
    ip addr add 203.0.113.1/24 dev up0 && ip route add default via 203.0.113.2 && \
    ip addr add 2001:db8::1/64 dev up0 nodad && ip -6 route add default via 2001:db8::2";

/// Executes a test in that namespace; true in there.
fn is_outside(test: &str) -> bool {
    if env::var_os(OUTSIDE).is_some() {
        let made = Command::new("sh").args(["-c", HOST]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").status();
        assert!(made.unwrap().success());
        return true;
    }
    let outside = Namespace::private().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(OUTSIDE, "1");
    outside.inside().unwrap().unwrap().enter(&mut command);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    false
}

/// Greets the first client.
fn greeter(address: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).unwrap();
    let at = listener.local_addr().unwrap();
    thread::spawn(move || listener.accept().unwrap().0.write_all(b"the outside").unwrap());
    at
}

/// The greeting at an address, from a namespace. A first packet may be lost while the link is new.
async fn heard(namespace: &Namespace, from: SocketAddr) -> String {
    let heard = async {
        let mut said = String::new();
        namespace.connect(from).await?.read_to_string(&mut said).await.map(|_| said)
    };
    tokio::time::timeout(Duration::from_secs(60), heard).await.expect("an answer in time").unwrap()
}

#[tokio::test]
async fn a_private_namespace_reaches_the_outside_and_not_the_hosts_loopback() {
    if !is_outside("a_private_namespace_reaches_the_outside_and_not_the_hosts_loopback") {
        return;
    }
    let (namespace, dir) = (Namespace::private().unwrap(), TempDir::new().unwrap());
    let uplink = Uplink::open(&namespace, dir.path()).await.unwrap();
    for address in ["203.0.113.1:0", "[2001:db8::1]:0"] {
        assert_eq!(heard(&namespace, greeter(address)).await, "the outside");
    }
    let local = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for gateway in ["172.30.255.1", "127.0.0.1"] {
        let to = SocketAddr::new(gateway.parse().unwrap(), local);
        let reached = tokio::time::timeout(Duration::from_secs(1), namespace.connect(to)).await;
        assert!(!matches!(reached, Ok(Ok(_))), "{to} answers");
    }
    uplink.close().await;
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
    assert_eq!(children(), [] as [i32; 0]);
}

#[tokio::test]
async fn without_a_route_on_the_host_an_uplink_is_refused() {
    // A private namespace has no route, so it is such a host.
    if env::var_os(OUTSIDE).is_none() {
        let outside = Namespace::private().unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "without_a_route_on_the_host_an_uplink_is_refused"]).env(OUTSIDE, "1");
        outside.inside().unwrap().unwrap().enter(&mut command);
        assert!(command.status().unwrap().success());
        return;
    }
    let (namespace, dir) = (Namespace::private().unwrap(), TempDir::new().unwrap());
    let error = Uplink::open(&namespace, dir.path()).await.unwrap_err();
    assert!(error.to_string().starts_with("`pasta` says: "), "{error}");
    assert_eq!(children(), [] as [i32; 0]);
}

/// The children of this process.
fn children() -> Vec<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect()
}
