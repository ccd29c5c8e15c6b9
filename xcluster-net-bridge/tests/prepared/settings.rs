//! Settings of the host that have no name of ours.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddrV6;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use nix::libc;
use nix::sys::socket::{MsgFlags, SockaddrIn6, sendto, setsockopt, sockopt};
use xcluster_core::testing::{Failed, ensure};

use crate::lab::{Lab, add, delete, read, run_in, setting};

pub(crate) async fn only_the_last_one_gives_settings_back(lab: &Lab) -> Result<(), Failed> {
    let before = lab.look()?;
    add(1).await?;
    add(2).await?;
    delete(1).await?;
    ensure(read("ipv4/ip_forward")? == "1", || "the second one is cut off".to_owned())?;
    delete(2).await?;
    lab.look()?.same_as(&before)
}

pub(crate) async fn what_others_have_set_stays(lab: &Lab) -> Result<(), Failed> {
    fs::write(setting("ipv4/ip_forward"), "1")?;
    let before = lab.look()?;
    add(1).await?;
    fs::write(setting("ipv6/conf/up0/hop_limit"), "32")?;
    fs::write(setting("ipv6/conf/up0/accept_ra"), "0")?;
    delete(1).await?;
    ensure(read("ipv4/ip_forward")? == "1", || "it was on before".to_owned())?;
    ensure(read("ipv6/conf/up0/accept_ra")? == "0", || "somebody else's word was changed".to_owned())?;
    fs::write(setting("ipv6/conf/up0/hop_limit"), "64")?;
    fs::write(setting("ipv6/conf/up0/accept_ra"), "1")?;
    lab.look()?.same_as(&before)
}

pub(crate) async fn an_advertised_default_route_survives(lab: &Lab) -> Result<(), Failed> {
    let mut monitor = Command::new("ip").args(["-6", "monitor", "route"]).stdout(Stdio::piped()).spawn()?;
    let advertised = advertise(lab).and_then(|()| {
        let lines = monitor.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        let mut routes = lines.map_while(Result::ok);
        let heard = routes.any(|line| line.starts_with("default via fe80::1 dev up0 proto ra"));
        ensure(heard, || "nothing was heard of it".to_owned())
    });
    monitor.kill()?;
    monitor.wait()?;
    advertised?;
    let is_there = || -> Result<(), Failed> {
        let routes = lab.ip("-6 route")?;
        ensure(routes.contains("default via fe80::1 dev up0 proto ra"), || routes)
    };
    add(1).await?;
    is_there()?;
    ensure(read("ipv6/conf/up0/accept_ra")? == "2", || "it does not listen any more".to_owned())?;
    delete(1).await?;
    is_there()?;
    ensure(read("ipv6/conf/up0/accept_ra")? == "1", || "it listens where it did not".to_owned())
}

/// A router of the world tells the host that it is one (RFC 4861, 4.2).
fn advertise(lab: &Lab) -> Result<(), Failed> {
    const ROUTER_ADVERTISEMENT: u8 = 134;
    const HOPS: u8 = 64;
    const LIFETIME: [u8; 2] = 1800_u16.to_be_bytes();
    let mut message = [0; 16];
    message[0] = ROUTER_ADVERTISEMENT;
    message[4] = HOPS;
    message[6..8].copy_from_slice(&LIFETIME);
    let socket = lab.world.socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)?;
    // Others are not believed to come from the same link.
    setsockopt(&socket, sockopt::Ipv6Ttl, &255)?;
    let listed = run_in(Some(&lab.world), "ip -oneline link show eth0")?;
    let link = listed.split(':').next().and_then(|number| number.parse().ok()).unwrap_or_default();
    let host = SocketAddrV6::new("fe80::2".parse()?, 0, 0, link);
    sendto(socket.as_raw_fd(), &message, &SockaddrIn6::from(host), MsgFlags::empty())?;
    Ok(())
}
