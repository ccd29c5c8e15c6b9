//! Tunnels: links that carry Ethernet frames to another host, each in a datagram.

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

/// The encapsulation of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encapsulation {
    /// RFC 7348.
    Vxlan,
    /// RFC 8926.
    Geneve,
}

/// A tunnel to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewTunnel<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its group.
    pub group: u32,
    /// The encapsulation.
    pub wrapping: Encapsulation,
    /// The virtual network identifier, equal at both ends: 24 bits.
    pub vni: u32,
    /// The address of the other end.
    pub remote: IpAddr,
    /// The address of this end, of the same family; `None` lets the kernel choose.
    pub local: Option<IpAddr>,
    /// The UDP port at both ends.
    pub port: u16,
}

impl Netlink {
    /// Makes a tunnel, down, unless the name or the same encapsulation exists (`EEXIST`). A kernel without tunnels answers
    /// `EOPNOTSUPP`.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
    pub async fn make_tunnel(&self, tunnel: &NewTunnel<'_>) -> Result<(), NetlinkError> {
        let message = match tunnel.wrapping {
            Encapsulation::Vxlan => vxlan(tunnel),
            Encapsulation::Geneve => geneve(tunnel),
        };
        self.make_link(message, || format!("make link `{}`", tunnel.name)).await
    }

    /// Adds another remote end to a VXLAN link, of the same IP version as the first. Frames from one end are not forwarded to
    /// another.
    ///
    /// # Errors
    /// The kernel refuses, or does not answer in time.
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
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(ANY_ADDRESS.to_vec()));
        let action = || format!("join {remote} to a tunnel");
        self.act(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_APPEND, action).await
    }
}

/// The address of the entries for frames to everyone or to unknown addresses.
const ANY_ADDRESS: [u8; 6] = [0; 6];

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

/// Disables receive offload (GRO) of a link, so that the kernel hands over each frame as it came. A reader of a packet socket
/// would reject joined frames as too long.
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
