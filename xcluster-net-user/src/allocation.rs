//! Chooses free numbers of the host and keeps them for the cluster.
//!
//! A number is free for clusters if its host lock is, and for other programs if it can be bound. A TCP port stays bound
//! without a listener, so that no other program gets it before QEMU, which can bind it as well. For a multicast group that is
//! not possible: its binder would receive its frames.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;

use tokio::net::TcpSocket;
use xcluster_core::host::{HostLockError, HostLocks};
use xcluster_core::name::NetId;
use xcluster_core::net::NetError;

use crate::error::Target;
use crate::holder::{Table, holder};
use crate::requested_ports::{Groups, MCAST_PORT, PortRange};

/// How many ports are tried: far more than a host has clusters.
const ATTEMPTS: u16 = 1000;

/// The numbers of one cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Allocation {
    forwards: BTreeMap<Target, Arc<Reserved>>,
    groups: BTreeMap<NetId, SocketAddrV4>,
}

/// A TCP port of the host, kept for this cluster.
#[derive(Debug)]
struct Reserved {
    port: u16,
    _socket: TcpSocket,
}

impl Allocation {
    /// The host's address for a TCP port of a node.
    pub(crate) fn forward(&self, target: &Target) -> Option<SocketAddr> {
        self.forwards.get(target).map(|reserved| local(reserved.port).into())
    }

    /// The multicast group of a net.
    pub(crate) fn group(&self, net: NetId) -> Option<SocketAddrV4> {
        self.groups.get(&net).copied()
    }

    /// Adds numbers for further requests. Locks all of them or none.
    pub(crate) fn extended(
        &self,
        host_locks: &HostLocks,
        ranges: Vec<PortRange>,
        groups: &Groups,
    ) -> Result<Self, NetError> {
        let mut allocator = Allocator { allocation: self.clone(), host_locks, names: Vec::new() };
        match allocator.take(ranges, groups) {
            Ok(()) => Ok(allocator.allocation),
            Err(error) => {
                host_locks.release(allocator.names);
                Err(error)
            }
        }
    }
}

/// A choice in progress.
struct Allocator<'a> {
    allocation: Allocation,
    host_locks: &'a HostLocks,
    /// The host locks of this choice.
    names: Vec<String>,
}

impl Allocator<'_> {
    /// Fixed numbers go first, so that movable ones avoid them.
    fn take(&mut self, mut ranges: Vec<PortRange>, groups: &Groups) -> Result<(), NetError> {
        ranges.sort_by_key(|range| !range.fixed);
        for mut range in ranges {
            range.forwards.retain(|target, _| !self.allocation.forwards.contains_key(target));
            self.take_range(&range)?;
        }
        self.take_groups(groups)
    }

    fn take_range(&mut self, range: &PortRange) -> Result<(), NetError> {
        match self.take_documented(range) {
            Err(NetError::InUse { .. }) if !range.fixed => {
                range.forwards.keys().try_for_each(|target| self.take_any(*target))
            }
            other => other,
        }
    }

    /// Takes the requested numbers, or none of them. A request without a number gets any.
    fn take_documented(&mut self, range: &PortRange) -> Result<(), NetError> {
        let requested: Vec<(Target, u16)> =
            range.forwards.iter().filter_map(|(t, port)| Some((*t, (*port)?))).collect();
        let names: Vec<String> = requested.iter().map(|(_, port)| tcp(*port)).collect();
        self.take_locks(&names)?;
        match requested
            .iter()
            .map(|(target, port)| Ok((*target, reserve(*port)?)))
            .collect::<Result<Vec<_>, NetError>>()
        {
            Ok(reserved) => self.allocation.forwards.extend(reserved),
            Err(error) => {
                self.host_locks.release(&names);
                return Err(error);
            }
        }
        self.names.extend(names);
        range.forwards.iter().filter(|(_, port)| port.is_none()).try_for_each(|(target, _)| self.take_any(*target))
    }

    /// Takes a port that the kernel reports as free.
    fn take_any(&mut self, target: Target) -> Result<(), NetError> {
        // Ports that turn out to be locked are kept meanwhile, so that the kernel does not offer them again.
        let mut locked = Vec::new();
        for _ in 0..ATTEMPTS {
            let reserved = reserve(0)?;
            let name = tcp(reserved.port);
            match self.take_locks(std::slice::from_ref(&name)) {
                Ok(()) => {
                    self.names.push(name);
                    self.allocation.forwards.insert(target, reserved);
                    return Ok(());
                }
                Err(NetError::InUse { .. }) => locked.push(reserved),
                Err(error) => return Err(error),
            }
        }
        Err(NetError::InUse { what: "every port that the kernel offers".to_owned(), by: "other clusters".to_owned() })
    }

    /// Takes the groups, all with one UDP port: the documented one or, if it may move, one of those after it.
    fn take_groups(&mut self, requested: &Groups) -> Result<(), NetError> {
        let new = |(net, _): &(&NetId, &Ipv4Addr)| !self.allocation.groups.contains_key(net);
        let new: Vec<(NetId, Ipv4Addr)> =
            requested.groups.iter().filter(new).map(|(net, group)| (*net, *group)).collect();
        let attempts = if requested.fixed { 1 } else { ATTEMPTS };
        let mut in_use = Ok(());
        for port in (MCAST_PORT..).take(attempts.into()) {
            let addresses = new.iter().map(|(net, group)| (*net, SocketAddrV4::new(*group, port)));
            match self.take_addresses(addresses.collect()) {
                Err(error @ NetError::InUse { .. }) => in_use = in_use.and(Err(error)),
                other => return other,
            }
        }
        in_use
    }

    fn take_addresses(&mut self, addresses: Vec<(NetId, SocketAddrV4)>) -> Result<(), NetError> {
        let names: Vec<String> = addresses.iter().map(|(_, address)| format!("mcast/{address}")).collect();
        self.take_locks(&names)?;
        if let Err(error) = addresses.iter().try_for_each(|(_, address)| is_silent(*address)) {
            self.host_locks.release(&names);
            return Err(error);
        }
        self.names.extend(names);
        self.allocation.groups.extend(addresses);
        Ok(())
    }

    /// Locks all of these or none. A number that this cluster already has or requests twice counts as taken.
    fn take_locks(&self, names: &[String]) -> Result<(), NetError> {
        let mut requested = BTreeSet::new();
        if let Some(name) = names.iter().find(|name| self.host_locks.holds(name) || !requested.insert(*name)) {
            return Err(NetError::InUse { what: spoken(name), by: "this cluster".to_owned() });
        }
        self.host_locks.take_all(names).map_err(|error| match error {
            HostLockError::Taken { what, holder } => {
                NetError::InUse { what: spoken(&what), by: format!("the cluster of {holder}") }
            }
            other => NetError::Other { message: "cannot lock numbers".to_owned(), source: Some(Box::new(other)) },
        })
    }
}

/// Binds a port of the loopback, 0 for any, without listening.
fn reserve(port: u16) -> Result<Arc<Reserved>, NetError> {
    let bound = || -> io::Result<Reserved> {
        let socket = TcpSocket::new_v4()?;
        // As QEMU does, so that it can bind the port as well. The kernel still refuses two listeners.
        socket.set_reuseaddr(true)?;
        socket.bind(local(port).into())?;
        Ok(Reserved { port: socket.local_addr()?.port(), _socket: socket })
    };
    bound().map(Arc::new).map_err(|error| in_use_or(error, &format!("port {}", local(port)), Table::Tcp, port))
}

/// Whether no program has bound the group's port: an exclusive bind shows it.
fn is_silent(address: SocketAddrV4) -> Result<(), NetError> {
    UdpSocket::bind(address)
        .map(drop)
        .map_err(|error| in_use_or(error, &format!("multicast group {address}"), Table::Udp, address.port()))
}

fn in_use_or(error: io::Error, what: &str, table: Table, port: u16) -> NetError {
    match error.kind() {
        io::ErrorKind::AddrInUse => NetError::InUse { what: what.to_owned(), by: holder(table, port) },
        _ => NetError::io(format!("bind {what}"), error),
    }
}

const fn local(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// A host lock in the form for people: `port 127.0.0.1:12001`.
fn spoken(name: &str) -> String {
    name.replacen("tcp/", "port ", 1).replacen("mcast/", "multicast group ", 1)
}

fn tcp(port: u16) -> String {
    format!("tcp/{}", local(port))
}
