//! The kernel's event for the end of a network namespace, received without a descriptor of it.
//!
//! A namespace may assign a number to another one (`ip netns set`, ip-netns(8)). Listeners there are told when the number
//! becomes void: when the last process, descriptor and socket of the other namespace has gone.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::socket::{NetlinkAddr, bind};
use tokio::net::UnixDatagram;
use xcluster_core::host::Namespace;

/// Of linux/rtnetlink.h and linux/net_namespace.h.
const RTM_NEWNSID: u16 = 88;
const RTM_DELNSID: u16 = 89;
const RTNLGRP_NSID: u32 = 28;
const NETNSA_NSID: u16 = 1;
const NETNSA_FD: u16 = 3;
/// From linux/netlink.h: the flags of a request with an answer, and the answer's type.
const REQUEST_AND_ACK: u16 = 1 | 4;
const NLMSG_ERROR: u16 = 2;
/// The length of `struct nlmsghdr` and, padded, `struct rtgenmsg`.
const HEADER: usize = 16;
const GENERAL: usize = 4;

/// The number of a network namespace whose end is awaited.
#[derive(Debug)]
pub(crate) struct Nsid {
    /// A route-netlink socket, which keeps messages apart.
    socket: UnixDatagram,
    number: i32,
}

impl Nsid {
    /// Assigns a number to this namespace, in that of the calling thread.
    pub(crate) async fn give(namespace: &File) -> io::Result<Self> {
        static NUMBERS: AtomicI32 = AtomicI32::new(1);
        let socket = UnixDatagram::from_std(net::UnixDatagram::from(Namespace::here().netlink()?))?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 1 << (RTNLGRP_NSID - 1)))?;
        let nsid = Self { socket, number: NUMBERS.fetch_add(1, Ordering::Relaxed) };
        nsid.socket.send(&nsid.request(namespace)).await?;
        loop {
            let (kind, body) = nsid.receive().await?;
            let errno = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
            match (kind, errno) {
                (NLMSG_ERROR, 0) => return Ok(nsid),
                (NLMSG_ERROR, errno) => return Err(io::Error::from_raw_os_error(-errno)),
                _ => {}
            }
        }
    }

    fn request(&self, namespace: &File) -> Vec<u8> {
        let attribute =
            |kind: u16, value: i32| [&8_u16.to_ne_bytes()[..], &kind.to_ne_bytes(), &value.to_ne_bytes()].concat();
        let attributes = [attribute(NETNSA_NSID, self.number), attribute(NETNSA_FD, namespace.as_raw_fd())].concat();
        let length = (HEADER + GENERAL + attributes.len()) as u32;
        let kind_and_flags = [RTM_NEWNSID.to_ne_bytes(), REQUEST_AND_ACK.to_ne_bytes()].concat();
        [&length.to_ne_bytes()[..], &kind_and_flags, &[0; 8], &[0; GENERAL], &attributes].concat()
    }

    /// Waits for the kernel's event.
    pub(crate) async fn is_void(&self) -> io::Result<()> {
        let number = [&8_u16.to_ne_bytes()[..], &NETNSA_NSID.to_ne_bytes(), &self.number.to_ne_bytes()].concat();
        loop {
            let (kind, body) = self.receive().await?;
            if kind == RTM_DELNSID && body.get(GENERAL..).is_some_and(|attributes| attributes.starts_with(&number)) {
                return Ok(());
            }
        }
    }

    /// The next message: its type, and the bytes after its header.
    async fn receive(&self) -> io::Result<(u16, Vec<u8>)> {
        let mut room = [0; 512];
        let length = self.socket.recv(&mut room).await?;
        let message = &room[..length];
        let kind = message.get(4..6).map_or(0, |bytes| u16::from_ne_bytes([bytes[0], bytes[1]]));
        Ok((kind, message.get(HEADER..).unwrap_or_default().to_vec()))
    }
}
