//! The TCP/IP stack of a guest without a VM: it echoes, and it asks one question at a time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::Instant as StackInstant;
use smoltcp::wire::{EthernetAddress, IpCidr};

use super::device::Nic;
use super::{ECHO, Protocol};
use crate::addr::Addressing;
use crate::net::Port;

/// The first source port of questions (RFC 6335).
const FIRST_OWN_PORT: u16 = 49152;
/// When to send a datagram again that got no answer: a hub may have lost it.
const AGAIN: Duration = Duration::from_millis(500);
/// How many datagrams a socket holds.
const DATAGRAMS: usize = 8;

/// A stack with the addresses of a port.
pub(super) struct Stack {
    pub(super) nic: Nic,
    interface: Interface,
    sockets: SocketSet<'static>,
    echo: SocketHandle,
    /// The TCP ports, each with the socket that listens on it.
    listening: Vec<(u16, SocketHandle)>,
    serving: Vec<SocketHandle>,
    asking: Option<PendingRequest>,
    own_port: u16,
    begin: Instant,
}

/// A question and what has come back so far.
struct PendingRequest {
    protocol: Protocol,
    to: SocketAddr,
    socket: SocketHandle,
    question: Vec<u8>,
    sent: usize,
    sent_at: Option<Instant>,
    answer: Vec<u8>,
}

impl Stack {
    pub(super) fn new(port: &Port) -> Self {
        let mut nic = Nic { received: Default::default(), to_send: Default::default(), mtu: port.net.mtu };
        let mut config = Config::new(EthernetAddress(port.mac.0).into());
        config.random_seed = port.mac.0.iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte));
        let mut interface = Interface::new(config, &mut nic, StackInstant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // The list has room for two.
            let _ = addresses.push(IpCidr::new(port.ipv4().into(), Addressing::IPV4_LEN));
            let _ = addresses.push(IpCidr::new(port.ipv6().into(), Addressing::IPV6_LEN));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let mut echo = datagrams(nic.mtu);
        // It fails only for port 0 or a bound socket.
        let _ = echo.bind(ECHO);
        let echo = sockets.add(echo);
        let mut stack = Self {
            nic,
            interface,
            sockets,
            echo,
            listening: Vec::new(),
            serving: Vec::new(),
            asking: None,
            own_port: FIRST_OWN_PORT,
            begin: Instant::now(),
        };
        for number in port.expose.iter().copied().chain([ECHO]) {
            stack.listen(number);
        }
        stack
    }

    /// Asks a question, and drops an earlier one.
    pub(super) fn ask(&mut self, protocol: Protocol, to: SocketAddr, question: Vec<u8>) {
        if let Some(earlier) = self.asking.take() {
            self.sockets.remove(earlier.socket);
        }
        self.own_port = self.own_port.checked_add(1).unwrap_or(FIRST_OWN_PORT);
        // The addresses and ports are valid and the sockets new: neither `bind` nor `connect` can fail.
        let socket = match protocol {
            Protocol::Udp => {
                let mut socket = datagrams(self.nic.mtu);
                let _ = socket.bind(self.own_port);
                self.sockets.add(socket)
            }
            Protocol::Tcp => {
                let mut socket = stream(self.nic.mtu);
                let _ = socket.connect(self.interface.context(), to, self.own_port);
                self.sockets.add(socket)
            }
        };
        let (sent, sent_at, answer) = (0, None, Vec::new());
        self.asking = Some(PendingRequest { protocol, to, socket, question, sent, sent_at, answer });
    }

    /// The answer, once it is complete. It is returned once.
    pub(super) fn answer(&mut self) -> Option<Vec<u8>> {
        let asking = self.asking.take_if(|asking| asking.answer.len() >= asking.question.len())?;
        self.sockets.remove(asking.socket);
        Some(asking.answer)
    }

    /// Does what can be done now, and returns when to call it again if no frame arrives before.
    pub(super) fn poll(&mut self) -> Option<Duration> {
        let now = StackInstant::from_micros_const(self.begin.elapsed().as_micros().try_into().unwrap_or(i64::MAX));
        self.interface.poll(now, &mut self.nic, &mut self.sockets);
        self.accept();
        self.echo_streams();
        self.echo_datagrams();
        if let Some(asking) = &mut self.asking {
            match asking.protocol {
                Protocol::Tcp => asking.stream(self.sockets.get_mut(asking.socket)),
                Protocol::Udp => asking.datagram(self.sockets.get_mut(asking.socket)),
            }
        }
        let delay = self.interface.poll_delay(now, &self.sockets).map(Duration::from);
        let again = self.asking.as_ref().and_then(|asking| asking.sent_at).map(|_| AGAIN);
        [delay, again].into_iter().flatten().min()
    }

    fn listen(&mut self, port: u16) {
        let mut socket = stream(self.nic.mtu);
        // It fails only for port 0, to which no client can connect.
        let _ = socket.listen(port);
        self.listening.push((port, self.sockets.add(socket)));
    }

    /// Moves sockets that a client has connected to from listening to serving, and opens others in their place.
    fn accept(&mut self) {
        let sockets = &self.sockets;
        let taken = |(_, handle): &mut (u16, SocketHandle)| !sockets.get::<tcp::Socket>(*handle).is_listening();
        let taken: Vec<(u16, SocketHandle)> = self.listening.extract_if(.., taken).collect();
        for (port, handle) in taken {
            self.serving.push(handle);
            self.listen(port);
        }
    }

    fn echo_streams(&mut self) {
        let sockets = &mut self.sockets;
        self.serving.retain(|handle| {
            let socket = sockets.get_mut::<tcp::Socket>(*handle);
            echo_stream(socket);
            let open = socket.is_open();
            if !open {
                sockets.remove(*handle);
            }
            open
        });
    }

    fn echo_datagrams(&mut self) {
        let socket = self.sockets.get_mut::<udp::Socket>(self.echo);
        while socket.can_send() {
            let Ok((question, from)) = socket.recv().map(|(bytes, from)| (bytes.to_vec(), from)) else { break };
            // A question from port 0 cannot be answered.
            let _ = socket.send_slice(&question, from);
        }
    }
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("addresses", &self.interface.ip_addrs()).finish_non_exhaustive()
    }
}

impl PendingRequest {
    fn stream(&mut self, socket: &mut tcp::Socket<'_>) {
        if socket.can_send() && self.sent < self.question.len() {
            self.sent += socket.send_slice(&self.question[self.sent..]).unwrap_or_default();
            if self.sent == self.question.len() {
                socket.close();
            }
        }
        while socket.can_recv() {
            let all = |bytes: &mut [u8]| (bytes.len(), bytes.to_vec());
            self.answer.extend(socket.recv(all).unwrap_or_default());
        }
    }

    fn datagram(&mut self, socket: &mut udp::Socket<'_>) {
        if self.sent_at.is_none_or(|at| at.elapsed() >= AGAIN) {
            // A datagram that is too long for the MTU gets no answer.
            let _ = socket.send_slice(&self.question, self.to);
            self.sent_at = Some(Instant::now());
        }
        if let Ok((bytes, _)) = socket.recv() {
            self.answer = bytes.to_vec();
        }
    }
}

fn echo_stream(socket: &mut tcp::Socket<'_>) {
    while socket.can_recv() && socket.can_send() {
        let room = socket.send_capacity() - socket.send_queue();
        let take = |bytes: &mut [u8]| {
            let count = bytes.len().min(room);
            (count, bytes[..count].to_vec())
        };
        let bytes = socket.recv(take).unwrap_or_default();
        let _ = socket.send_slice(&bytes);
    }
    // The other end has sent everything, and got everything back.
    if socket.state() == tcp::State::CloseWait && socket.recv_queue() == 0 {
        socket.close();
    }
}

/// A socket with buffers for a few segments of this MTU. All that both ends have in flight, which a hub also sends back to its
/// sender, must fit the kernel's buffer for a socket, 208 KiB: this stack has no congestion control, and needs none
/// without losses.
fn stream(mtu: u16) -> tcp::Socket<'static> {
    let room = usize::from(mtu).saturating_mul(2).max(32 * 1024);
    tcp::Socket::new(tcp::SocketBuffer::new(vec![0; room]), tcp::SocketBuffer::new(vec![0; room]))
}

fn datagrams(mtu: u16) -> udp::Socket<'static> {
    let buffer = || {
        let room = usize::from(mtu) * DATAGRAMS;
        udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; DATAGRAMS], vec![0; room])
    };
    udp::Socket::new(buffer(), buffer())
}
