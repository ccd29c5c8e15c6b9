//! A cluster on one net as a backend sees it, and bare frames on its taps. Judges nothing.

#![allow(dead_code, reason = "each test target uses another part")]

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use nix::libc;
use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd::{read, write};
use tokio::time::Instant;
use xcluster_core::host::netlink::Netlink;
use xcluster_core::host::{Namespace, Netns};
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{Net, NetBackend, NetError, Port, PortConfig};
use xcluster_core::testing::{Failed, Stage, ensure};
use xcluster_net_ovs::{OvsBackend, OvsConfig};

/// How long what shall come may take, in milliseconds.
const SOON: u16 = 20_000;

/// A cluster with some nodes on one net.
#[derive(Debug)]
pub(crate) struct Lab {
    pub(crate) stage: Stage,
    pub(crate) backend: OvsBackend,
    pub(crate) net: Net,
    pub(crate) ports: Vec<Port>,
}

impl Lab {
    /// In a namespace of its own.
    pub(crate) fn private(name: &str, config: OvsConfig, nodes: &[u16]) -> Result<Self, Failed> {
        Self::on(Stage::in_netns(name, &Netns::Private)?, config, nodes)
    }

    /// Where the test is.
    pub(crate) fn here(name: &str, config: OvsConfig, nodes: &[u16]) -> Result<Self, Failed> {
        Self::on(Stage::in_netns(name, &Netns::Here)?, config, nodes)
    }

    pub(crate) fn on(stage: Stage, config: OvsConfig, nodes: &[u16]) -> Result<Self, Failed> {
        let lab = Self { stage, backend: OvsBackend::new(config), net: Net::new(NetId::CLUSTER), ports: Vec::new() };
        lab.with_nodes(nodes)
    }

    fn with_nodes(mut self, nodes: &[u16]) -> Result<Self, Failed> {
        let nodes = nodes.iter().map(|node| NodeId::new(*node)).collect::<Result<Vec<_>, _>>()?;
        self.ports = nodes.into_iter().map(|node| Port::new(node, self.net.clone(), 0)).collect();
        Ok(self)
    }

    pub(crate) fn with_mtu(mut self, mtu: u16) -> Self {
        self.net.mtu = mtu;
        self.ports.iter_mut().for_each(|port| port.net.mtu = mtu);
        self
    }

    pub(crate) async fn preflight(&self) -> Result<(), NetError> {
        self.backend.preflight(&self.stage.context(), std::slice::from_ref(&self.net), &self.ports).await
    }

    pub(crate) async fn begin(&self) -> Result<Vec<PortConfig>, NetError> {
        self.preflight().await?;
        self.backend.create_net(&self.stage.context(), &self.net).await?;
        self.set_up().await
    }

    pub(crate) async fn set_up(&self) -> Result<Vec<PortConfig>, NetError> {
        let context = self.stage.context();
        let all = self.ports.iter().map(|port| self.backend.setup(&context, port));
        futures::future::try_join_all(all).await
    }

    pub(crate) async fn end(&self) -> Result<(), NetError> {
        let context = self.stage.context();
        for port in &self.ports {
            self.backend.teardown(&context, port).await?;
        }
        self.backend.delete_net(&context, &self.net).await
    }

    /// The taps of the nodes, in their order.
    pub(crate) async fn taps(&self) -> Result<Vec<Tap>, Failed> {
        self.begin().await?.iter().map(Tap::of).collect()
    }
}

/// The links of a namespace by name, with what shows of each.
pub(crate) async fn links(namespace: &Namespace) -> Result<Vec<String>, Failed> {
    let mut names: Vec<String> =
        Netlink::connect(namespace)?.links().await?.into_iter().map(|link| link.name).collect();
    names.sort();
    Ok(names)
}

pub(crate) async fn check_links(namespace: &Namespace, expected: &[&str]) -> Result<(), Failed> {
    let names = links(namespace).await?;
    ensure(names == expected, || format!("expected {expected:?}, and there are {names:?}"))
}

/// The guest's end of a tap, without a guest.
#[derive(Debug)]
pub(crate) struct Tap(Arc<OwnedFd>);

impl Tap {
    pub(crate) fn of(port_config: &PortConfig) -> Result<Self, Failed> {
        let descriptor = port_config.kvm.descriptors().values().next();
        descriptor.map(|descriptor| Self(Arc::clone(descriptor))).ok_or_else(|| Failed::new("there is no descriptor"))
    }

    pub(crate) fn send(&self, frame: &[u8]) -> Result<(), Failed> {
        write(&self.0, frame)?;
        Ok(())
    }

    /// The next frame of a node, in time; the host's end looks for neighbours.
    fn receive(&self, limit: u16) -> Result<Option<Vec<u8>>, Failed> {
        self.receive_such(limit, is_of_test)
    }

    fn receive_such(&self, limit: u16, wanted: impl Fn(&[u8]) -> bool) -> Result<Option<Vec<u8>>, Failed> {
        let deadline = Instant::now() + Duration::from_millis(limit.into());
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
            if poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], left)? == 0 {
                return Ok(None);
            }
            let mut room = vec![0; 128 * 1024];
            let length = read(&self.0, &mut room)?;
            room.truncate(length);
            if wanted(&room) {
                return Ok(Some(room));
            }
        }
    }

    /// Whether nothing comes for a while.
    pub(crate) fn is_silent(&self) -> Result<bool, Failed> {
        Ok(self.receive(300)?.is_none())
    }

    /// Waits for the host to ask who has an address of net 1.
    pub(crate) fn gets_search_of_host(&self) -> Result<(), Failed> {
        let of_host =
            |frame: &[u8]| frame.get(..14) == Some(&[&EVERYONE[..], &[0, 0, 0, 1, 1, 250, 0x08, 0x06]].concat());
        self.receive_such(SOON, of_host)?.map(drop).ok_or_else(|| Failed::new("the host asks nobody"))
    }

    /// Sees that this is the next frame.
    pub(crate) fn gets(&self, frame: &[u8]) -> Result<(), Failed> {
        let received = self.receive(SOON)?.ok_or_else(|| Failed::new("no frame came in time"))?;
        let head = |frame: &[u8]| format!("{} bytes, {:02x?}", frame.len(), &frame[..frame.len().min(24)]);
        ensure(received == frame, || format!("instead of {} came {}", head(frame), head(&received)))
    }
}

/// IEEE 802 Local Experimental Ethertype 1, and that of LLDP.
pub(crate) const EXPERIMENT: [u8; 2] = [0x88, 0xb5];
pub(crate) const LLDP: [u8; 2] = [0x88, 0xcc];
pub(crate) const EVERYONE: [u8; 6] = [0xff; 6];

/// A frame of a node of net 1 with some number in it, in a VLAN or in none.
pub(crate) fn frame(from: u8, to: [u8; 6], vlan: Option<u16>, number: u8) -> Vec<u8> {
    typed(from, to, vlan, &EXPERIMENT, number)
}

/// The same with this type.
pub(crate) fn typed(from: u8, to: [u8; 6], vlan: Option<u16>, kind: &[u8; 2], number: u8) -> Vec<u8> {
    let tag = vlan.map(|vlan| [&[0x81, 0][..], &vlan.to_be_bytes()].concat()).unwrap_or_default();
    let mut frame = [&to[..], &[0, 0, 0, 1, 1, from], &tag, kind].concat();
    frame.resize(80 + tag.len(), number);
    frame
}

fn is_of_test(frame: &[u8]) -> bool {
    let of_node = frame.get(6..11) == Some(&[0, 0, 0, 1, 1]) && frame.get(11) != Some(&250);
    let kind = |at: usize| frame.get(at..at + 2).is_some_and(|kind| kind == EXPERIMENT || kind == LLDP);
    of_node && (kind(12) || kind(16))
}

/// What a program sees that looks at a link of a namespace.
#[derive(Debug)]
pub(crate) struct Packets(Tap);

impl Packets {
    pub(crate) async fn open(namespace: &Namespace, link: &str) -> Result<Self, Failed> {
        let link =
            Netlink::connect(namespace)?.link(link).await?.ok_or_else(|| Failed::new("there is no such link"))?;
        ensure(link.up, || "it is down".to_owned())?;
        let socket = namespace.socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?;
        let mut address = [0_u8; 20];
        // struct sockaddr_ll: family, protocol (all, in network order), number of the link.
        address[..2].copy_from_slice(&(libc::AF_PACKET as u16).to_ne_bytes());
        address[2..4].copy_from_slice(&(libc::ETH_P_ALL as u16).to_be_bytes());
        address[4..8].copy_from_slice(&link.index.to_ne_bytes());
        // SAFETY: the pointer is to a value of this frame, of the length that is said beside it.
        let bound = unsafe { libc::bind(socket.as_raw_fd(), address.as_ptr().cast(), address.len() as u32) };
        nix::errno::Errno::result(bound)?;
        Ok(Self(Tap(Arc::new(socket))))
    }

    pub(crate) fn gets(&self, frame: &[u8]) -> Result<(), Failed> {
        self.0.gets(frame)
    }
}

/// The processes of this name that are in the network namespace of the calling thread.
pub(crate) fn processes(name: &str) -> Vec<i32> {
    let here = std::fs::read_link("/proc/thread-self/ns/net").ok();
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is = |pid: &i32| {
        let process = std::path::Path::new("/proc").join(pid.to_string());
        std::fs::read_to_string(process.join("comm")).is_ok_and(|found| found.trim() == name)
            && std::fs::read_link(process.join("ns/net")).ok() == here
    };
    pids.filter(is).collect()
}

/// Waits for the end of processes.
pub(crate) async fn are_gone(pids: &[i32]) -> Result<(), Failed> {
    ensure(!pids.is_empty(), || "there was no process".to_owned())?;
    let deadline = Instant::now() + Duration::from_millis(SOON.into());
    while let Some(pid) = pids.iter().find(|pid| std::path::Path::new(&format!("/proc/{pid}")).exists()) {
        ensure(Instant::now() < deadline, || format!("process {pid} is left"))?;
        // They are no children of ours, so nothing tells.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
