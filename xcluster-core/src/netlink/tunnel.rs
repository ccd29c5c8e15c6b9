//! Links that carry Ethernet frames to another host, each in a datagram. Who is at the other end is not known here.

use std::net::IpAddr;
use std::os::fd::AsRawFd;

use crate::host::Namespace;
use nix::errno::Errno;
use nix::libc;
use rtnetlink::packet_core::{NLM_F_APPEND, NLM_F_CREATE};
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::{LinkGeneve, LinkVxlan};

use super::{Netlink, NetlinkError};

/// How frames are wrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encapsulation {
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
}

/// A link to another host.
#[derive(Debug, Clone, Copy)]
pub struct NewTunnel<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its group.
    pub group: u32,
    /// How frames are wrapped.
    pub wrapping: Encapsulation,
    /// The number that both ends know the net by: 24 bits.
    pub vni: u32,
    /// The other end.
    pub remote: IpAddr,
    /// This end, where the kernel shall not choose it. Of the same family.
    pub local: Option<IpAddr>,
    /// The port of UDP at both ends.
    pub port: u16,
}

impl Netlink {
    /// Makes a tunnel, down, if nothing has its name or wraps the same (`EEXIST`). A kernel without such says `EOPNOTSUPP`.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
    pub async fn make_tunnel(&self, tunnel: &NewTunnel<'_>) -> Result<(), NetlinkError> {
        let message = match tunnel.wrapping {
            Encapsulation::Vxlan => vxlan(tunnel),
            Encapsulation::Geneve => geneve(tunnel),
        };
        self.make_link(message, || format!("make link `{}`", tunnel.name)).await
    }

    /// Gives a VXLAN link one more other end, of the same version of IP as the first. What came from one is not sent on to
    /// another.
    ///
    /// # Errors
    /// What the kernel says, or nothing in time.
    pub async fn add_end(&self, link: u32, remote: IpAddr) -> Result<(), NetlinkError> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.header.ifindex = link;
        message.header.state = NeighbourState::Permanent;
        message.header.flags = NeighbourFlags::Own;
        let remote_address = match remote {
            IpAddr::V4(ip) => NeighbourAddress::Inet(ip),
            IpAddr::V6(ip) => NeighbourAddress::Inet6(ip),
        };
        message.attributes.push(NeighbourAttribute::Destination(remote_address));
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(ANYBODY.to_vec()));
        let action = || format!("join {remote} to a tunnel");
        self.act(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_APPEND, action).await
    }
}

/// The address whose entries are the other ends that get what is for everybody, or for somebody unknown.
const ANYBODY: [u8; 6] = [0; 6];

fn vxlan(tunnel: &NewTunnel<'_>) -> rtnetlink::packet_route::link::LinkMessage {
    let mut link = LinkVxlan::new(tunnel.name, tunnel.vni).port(tunnel.port).learning(true).link_group(tunnel.group);
    link = match tunnel.remote {
        IpAddr::V4(ip) => link.remote(ip),
        IpAddr::V6(ip) => link.remote6(ip),
    };
    match tunnel.local {
        Some(IpAddr::V4(ip)) => link.local(ip),
        Some(IpAddr::V6(ip)) => link.local6(ip),
        None => link,
    }
    .build()
}

fn geneve(tunnel: &NewTunnel<'_>) -> rtnetlink::packet_route::link::LinkMessage {
    let link = LinkGeneve::new(tunnel.name, tunnel.vni).port(tunnel.port).link_group(tunnel.group);
    match tunnel.remote {
        IpAddr::V4(ip) => link.remote(ip),
        IpAddr::V6(ip) => link.remote6(ip),
    }
    .build()
}

mod ioctl {
    use nix::libc;

    nix::ioctl_readwrite_bad!(
        /// `SIOCETHTOOL` of linux/sockios.h.
        ethtool,
        libc::SIOCETHTOOL,
        libc::ifreq
    );
}

/// `ETHTOOL_SGRO` of linux/ethtool.h.
const SET_GRO: u32 = 0x2c;

/// `struct ethtool_value` of linux/ethtool.h.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Has the kernel hand over each frame of a link as it came, not several of them joined: whoever reads frames from a packet
/// socket would take them for frames that are too long.
///
/// # Errors
/// The kernel refuses it.
pub fn keep_frames_apart(namespace: &Namespace, link: &str) -> Result<(), NetlinkError> {
    let failed = |error| NetlinkError::new(format!("set up link `{link}`"), error);
    let socket = namespace.socket(libc::AF_INET, libc::SOCK_DGRAM, 0).map_err(failed)?;
    let mut value = Value { command: SET_GRO, data: 0 };
    // SAFETY: zeros are a valid value of this structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if link.len() >= request.ifr_name.len() {
        return Err(failed(Errno::ENAMETOOLONG.into()));
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(link.bytes()) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the descriptor is open; the structure is what the request takes, and points to a value that outlives it.
    unsafe { ioctl::ethtool(socket.as_raw_fd(), &raw mut request) }.map_err(|errno| failed(errno.into()))?;
    Ok(())
}
