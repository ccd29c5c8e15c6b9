//! Settings of the host, which have no name of ours.

use std::fs;
use std::net::SocketAddrV6;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::libc;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, SockaddrIn6, bind, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use xcluster_core::testing::{TestFailure, ensure};

use crate::fixture::{Fixture, add, delete, read, run_in, setting};

pub(crate) async fn only_the_last_one_gives_settings_back(fixture: &Fixture) -> Result<(), TestFailure> {
    let before = fixture.look()?;
    add(1).await?;
    add(2).await?;
    delete(1).await?;
    ensure(read("ipv4/ip_forward")? == "1", || "the second one is cut off".to_owned())?;
    delete(2).await?;
    fixture.look()?.same_as(&before)
}

pub(crate) async fn what_others_have_set_stays(fixture: &Fixture) -> Result<(), TestFailure> {
    fs::write(setting("ipv4/ip_forward"), "1")?;
    let before = fixture.look()?;
    add(1).await?;
    fs::write(setting("ipv6/conf/up0/hop_limit"), "32")?;
    fs::write(setting("ipv6/conf/up0/accept_ra"), "0")?;
    delete(1).await?;
    ensure(read("ipv4/ip_forward")? == "1", || "it was on before".to_owned())?;
    ensure(read("ipv6/conf/up0/accept_ra")? == "0", || "a setting of another program was changed".to_owned())?;
    fs::write(setting("ipv6/conf/up0/hop_limit"), "64")?;
    fs::write(setting("ipv6/conf/up0/accept_ra"), "1")?;
    fixture.look()?.same_as(&before)
}

pub(crate) async fn an_advertised_default_route_survives(fixture: &Fixture) -> Result<(), TestFailure> {
    let is_there = || -> Result<(), TestFailure> {
        let routes = fixture.ip("-6 route")?;
        ensure(routes.contains("default via fe80::1 dev up0 proto ra"), || routes)
    };
    let changes = route_changes()?;
    advertise(fixture)?;
    while is_there().is_err() {
        recv(changes.as_raw_fd(), &mut [0; 4096], MsgFlags::empty())?;
    }
    add(1).await?;
    is_there()?;
    ensure(read("ipv6/conf/up0/accept_ra")? == "2", || "it does not listen any more".to_owned())?;
    delete(1).await?;
    is_there()?;
    ensure(read("ipv6/conf/up0/accept_ra")? == "1", || "it listens where it did not".to_owned())
}

/// A socket on which the kernel reports every change of a route (rtnetlink(7)), with a deadline.
fn route_changes() -> Result<OwnedFd, TestFailure> {
    const RTMGRP_IPV6_ROUTE: u32 = 0x400;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, RTMGRP_IPV6_ROUTE))?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(20))?;
    Ok(socket)
}

/// A router on the outside sends its advertisement (RFC 4861, 4.2).
fn advertise(fixture: &Fixture) -> Result<(), TestFailure> {
    const ROUTER_ADVERTISEMENT: u8 = 134;
    const HOPS: u8 = 64;
    const LIFETIME: [u8; 2] = 1800_u16.to_be_bytes();
    let mut message = [0; 16];
    message[0] = ROUTER_ADVERTISEMENT;
    message[4] = HOPS;
    message[6..8].copy_from_slice(&LIFETIME);
    let socket = fixture.outside.socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)?;
    // The hop limit that proves that it comes from the same link.
    setsockopt(&socket, sockopt::Ipv6Ttl, &255)?;
    let listed = run_in(Some(&fixture.outside), "ip -oneline link show eth0")?;
    let link = listed.split(':').next().and_then(|number| number.parse().ok()).unwrap_or_default();
    let host = SocketAddrV6::new("fe80::2".parse()?, 0, 0, link);
    sendto(socket.as_raw_fd(), &message, &SockaddrIn6::from(host), MsgFlags::empty())?;
    Ok(())
}
