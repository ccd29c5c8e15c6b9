//! Access of nodes to the outside, and of the user to a namespace.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{Backlog, SockaddrStorage, bind, listen};
use xcluster_core::host::Namespace;
use xcluster_core::testing::{TestFailure, ensure};

use crate::fixture::{Fixture, HOST, OUTSIDE, add, connect_from, delete, ip_address, open, run_in};

/// The deadline of a connection that must succeed.
const TIMEOUT: Duration = Duration::from_secs(20);

pub(crate) async fn nodes_reach_the_world_with_the_hosts_address(fixture: &Fixture) -> Result<(), TestFailure> {
    add(1).await?;
    let node = node(&open(1)?)?;
    for (host, outside) in HOST.into_iter().zip(OUTSIDE) {
        let seen = seen_as(fixture, &node, outside).await?;
        ensure(seen.ip() == ip_address(host), || format!("the outside sees {seen}"))?;
    }
    Ok(())
}

pub(crate) async fn firewalls_of_others_let_nodes_out(fixture: &Fixture) -> Result<(), TestFailure> {
    let rules = "
        table ip filter {
            chain DOCKER-USER {
            }
            chain FORWARD {
                type filter hook forward priority 0; policy drop;
                jump DOCKER-USER
            }
        }
        table ip6 filter {
            chain FORWARD {
                type filter hook forward priority 0; policy drop;
            }
        }
        table inet firewalld {
            chain filter_FORWARD {
                type filter hook forward priority 10; policy accept;
                reject
            }
        }";
    fixture.nft(rules)?;
    let before = fixture.nft("list ruleset")?;
    let prepared = add(1).await?;
    ensure(prepared.notes.is_empty(), || format!("{:?}", prepared.notes))?;
    let node = node(&open(1)?)?;
    for outside in OUTSIDE {
        seen_as(fixture, &node, outside).await?;
    }
    let chain = fixture.nft("list chain ip filter DOCKER-USER")?;
    ensure(chain.matches("comment \"xcluster1\"").count() == 2, || chain)?;
    delete(1).await?;
    let after = fixture.nft("list ruleset")?;
    ensure(after == before, || after)
}

/// A namespace on the bridge of net 0, with the addresses of node 1.
fn node(prepared: &Namespace) -> Result<Namespace, TestFailure> {
    let node = Namespace::private()?;
    connect_from(Some(prepared), "xcbr0_t1", &node, "eth0")?;
    run_in(Some(prepared), "ip link set xcbr0_t1 master xcbr0 up")?;
    for args in [
        "link set eth0 up",
        "address add 192.168.0.1/24 dev eth0",
        "address add 1000::1:192.168.0.1/120 dev eth0 nodad",
        "route add default via 192.168.0.250",
        "-6 route add default via 1000::1:192.168.0.250",
    ] {
        run_in(Some(&node), &format!("ip {args}"))?;
    }
    Ok(node)
}

/// Connects to the outside, and returns the address that it sees.
async fn seen_as(fixture: &Fixture, node: &Namespace, outside: &str) -> Result<SocketAddr, TestFailure> {
    let (listener, address) = listener(fixture, SocketAddr::new(ip_address(outside), 0))?;
    let connected = tokio::time::timeout(TIMEOUT, node.connect(address)).await;
    let connected = connected.map_err(|_| TestFailure::new(format!("{outside} cannot be reached")))?;
    let _connection = connected.map_err(|error| TestFailure::from(error).during(format!("cannot reach {outside}")))?;
    let (_, from) = listener.accept()?;
    Ok(from)
}

/// A listener on the outside.
fn listener(fixture: &Fixture, at: SocketAddr) -> Result<(TcpListener, SocketAddr), TestFailure> {
    let family = if at.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = fixture.outside.socket(family, libc::SOCK_STREAM, 0)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(at))?;
    listen(&socket, Backlog::new(1)?)?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?;
    Ok((listener, address))
}

pub(crate) async fn its_user_enters_it_without_any_privilege(_lab: &Fixture) -> Result<(), TestFailure> {
    add(1).await?;
    let entered = std::thread::spawn(|| -> Result<String, TestFailure> {
        drop_privileges()?;
        // It can change nothing on the host any more.
        ensure(run_in(None, "ip link set up0 down").is_err(), || "it is still root".to_owned())?;
        let namespace = open(1)?;
        namespace.tun()?;
        let mut command = Command::new("ip");
        command.args(["link", "add", "xcbr9", "type", "bridge"]);
        if let Some(inside) = namespace.inside()? {
            inside.enter(&mut command);
        }
        let output = command.output()?;
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    });
    let said = entered.join().map_err(|_| TestFailure::new("it panicked"))??;
    ensure(said.is_empty(), || said)?;
    let links = run_in(Some(&open(1)?), "ip link")?;
    ensure(links.contains("xcbr9"), || links)
}

/// Removes every capability from this thread, permanently.
fn drop_privileges() -> Result<(), TestFailure> {
    /// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h.
    const VERSION: u32 = 0x2008_0522;
    /// Makes an exec as root regain none (capabilities(7)): `SECBIT_NOROOT` and its lock.
    const NO_ROOT: libc::c_ulong = 0b11;
    let header = [VERSION, 0];
    let none = [0_u32; 6];
    // SAFETY: capset(2) takes a header of two numbers and data of twice three, which outlive the call; prctl(2) takes none.
    unsafe {
        Errno::result(libc::prctl(libc::PR_SET_SECUREBITS, NO_ROOT, 0, 0, 0))?;
        Errno::result(libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()))?;
    }
    Ok(())
}
