//! Trials of what a backend carries: number 9. The subject chooses the guests.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::fixture::Fixture;
use super::{ContractCase, Subject, Trial};
use crate::net::{Net, Port, PortConfig, VmToVm};
use crate::testing::host::HostEcho;
use crate::testing::traffic::{ECHO, Guest, Protocol};
use crate::testing::{TestFailure, ensure};

/// How much TCP sends, in bytes: more than a megabyte, and no multiple of a buffer's size.
const BULK: usize = 1_500_001;
/// How long to wait for a frame that must not arrive, after another frame has arrived on the same path.
const GRACE: Duration = Duration::from_millis(200);
/// Frames that are sent once each, to see whether one gets lost.
const SINGLE_FRAMES: usize = 20;
/// Headers of UDP over IPv4 and over IPv6.
const HEADERS: [usize; 2] = [20 + 8, 40 + 8];

/// The contract cases that are tested on each net by itself.
const ON_A_NET: [ContractCase; 7] = [
    ContractCase::HostAccess,
    ContractCase::NodesApart,
    ContractCase::NodesTogether,
    ContractCase::Echo,
    ContractCase::EveryFrame,
    ContractCase::LargestMtu,
    ContractCase::ClustersApart,
];

pub(super) fn add(subject: &Subject, trials: &mut Vec<Trial>) {
    // Clusters that share a namespace cannot be on the same net at the same time: number 4.
    let possible =
        |contract_case: &ContractCase| *contract_case != ContractCase::ClustersApart || !subject.netns_mode.is_shared();
    for net in &subject.nets {
        let promise = subject.capabilities(net);
        let tried =
            ON_A_NET.into_iter().filter(possible).filter(|contract_case| contract_case.is_promised_by(&promise));
        trials.extend(tried.map(|contract_case| on_a_net(subject, contract_case, net.clone())));
    }
    if joined(subject).len() > 1 {
        trials.push(Trial::new(subject, ContractCase::NetsApart, two_nets));
    }
}

fn on_a_net(subject: &Subject, contract_case: ContractCase, net: Net) -> Trial {
    let on = format!(" {} {}", net.kind, net.id);
    let mut trial = Trial::new(subject, contract_case, async move |subject| match contract_case {
        ContractCase::HostAccess => host_access(subject, net).await,
        ContractCase::NodesApart => no_vm_to_vm(subject, net).await,
        ContractCase::NodesTogether => vm_to_vm(subject, net).await,
        ContractCase::Echo => echo(subject, net).await,
        ContractCase::EveryFrame => every_frame(subject, net).await,
        ContractCase::LargestMtu => largest_mtu(subject, net).await,
        _ => two_clusters(subject, net).await,
    });
    trial.name.push_str(&on);
    trial
}

/// The nets on which VMs hear each other.
fn joined(subject: &Subject) -> Vec<Net> {
    subject.nets.iter().filter(|net| subject.capabilities(net).joins()).cloned().collect()
}

/// A cluster on some nets, and guests on its ports.
struct TrafficPorts {
    subject: Subject,
    fixture: Fixture,
    port_configs: Vec<PortConfig>,
}

impl TrafficPorts {
    async fn new(subject: &Subject, cluster: &str, nets: Vec<Net>) -> Result<Self, TestFailure> {
        let fixture = Fixture::on(subject, cluster, nets)?;
        let port_configs = fixture.begin().await?;
        Ok(Self { subject: subject.clone(), fixture, port_configs })
    }

    fn ports_of(&self, net: &Net) -> impl DoubleEndedIterator<Item = (&Port, &PortConfig)> {
        let net = net.id;
        self.fixture.ports.iter().zip(&self.port_configs).filter(move |(port, _)| port.net.id == net)
    }

    /// The port of the node with index `node` on a net.
    fn port(&self, net: &Net, node: usize) -> Result<(&Port, &PortConfig), TestFailure> {
        self.ports_of(net).nth(node).ok_or_else(|| TestFailure::new(format!("net {} has no port {node}", net.id)))
    }

    /// A guest on the last port of a net: on a net of three ports or more it is none of the first two.
    async fn last_guest(&self, net: &Net) -> Result<Box<dyn Guest>, TestFailure> {
        let last = self.ports_of(net).next_back();
        let (port, port_config) = last.ok_or_else(|| TestFailure::new(format!("net {} has no port", net.id)))?;
        self.subject.traffic.guest(port_config, port).await
    }

    async fn guest(&self, net: &Net, node: usize) -> Result<Box<dyn Guest>, TestFailure> {
        let (port, port_config) = self.port(net, node)?;
        self.subject.traffic.guest(port_config, port).await
    }

    /// The IPv4 and the IPv6 address of a node.
    fn addresses(&self, net: &Net, node: usize) -> Result<[IpAddr; 2], TestFailure> {
        let (port, _) = self.port(net, node)?;
        Ok([port.ipv4().into(), port.ipv6().into()])
    }

    /// The teardown, after the guests were dropped.
    async fn end(self) -> Result<(), TestFailure> {
        Ok(self.fixture.end().await?)
    }
}

async fn vm_to_vm(subject: Subject, net: Net) -> Result<(), TestFailure> {
    let traffic_ports = TrafficPorts::new(&subject, "talkers", vec![net.clone()]).await?;
    let mut first = traffic_ports.guest(&net, 0).await?;
    let second = traffic_ports.guest(&net, 1).await?;
    exchange(&mut *first, traffic_ports.addresses(&net, 1)?, net.mtu, ECHO, ECHO).await?;
    drop((first, second));
    traffic_ports.end().await
}

/// More than a megabyte in datagrams that fill the MTU.
async fn largest_mtu(subject: Subject, mut net: Net) -> Result<(), TestFailure> {
    net.mtu = subject.capabilities(&net).mtu_max;
    let traffic_ports = TrafficPorts::new(&subject, "large", vec![net.clone()]).await?;
    let mut first = traffic_ports.guest(&net, 0).await?;
    let second = traffic_ports.guest(&net, 1).await?;
    for _ in 0..BULK / usize::from(net.mtu) {
        for (ip, headers) in traffic_ports.addresses(&net, 1)?.into_iter().zip(HEADERS) {
            let to = SocketAddr::new(ip, ECHO);
            let full = pattern(usize::from(net.mtu) - headers);
            compare(&mut *first, Protocol::Udp, to, &full).await?;
        }
    }
    drop((first, second));
    traffic_ports.end().await
}

/// Over both IP versions: a small datagram, one that fills the MTU, and a megabyte over TCP.
async fn exchange(guest: &mut dyn Guest, to: [IpAddr; 2], mtu: u16, tcp: u16, udp: u16) -> Result<(), TestFailure> {
    for (ip, headers) in to.into_iter().zip(HEADERS) {
        let datagrams = SocketAddr::new(ip, udp);
        compare(guest, Protocol::Udp, datagrams, &pattern(64)).await?;
        compare(guest, Protocol::Udp, datagrams, &pattern(usize::from(mtu) - headers)).await?;
        compare(guest, Protocol::Tcp, SocketAddr::new(ip, tcp), &pattern(BULK)).await?;
    }
    Ok(())
}

async fn compare(
    guest: &mut dyn Guest,
    protocol: Protocol,
    to: SocketAddr,
    question: &[u8],
) -> Result<(), TestFailure> {
    let answer = guest.ask(protocol, to, question).await;
    let compared = answer.and_then(|answer| same_content(question, &answer));
    compared.map_err(|failed| failed.during(format!("{} bytes by {protocol} to {to}", question.len())))
}

/// Checks that the answer equals the question.
fn same_content(question: &[u8], answer: &[u8]) -> Result<(), TestFailure> {
    ensure(question.len() == answer.len(), || format!("{} bytes came back of {}", answer.len(), question.len()))?;
    let different = question.iter().zip(answer).position(|(q, a)| q != a);
    ensure(different.is_none(), || format!("byte {} came back different", different.unwrap_or_default()))
}

/// Bytes without a period that a buffer could have.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| ((index % 251) ^ (index / 251 % 256)) as u8).collect()
}

/// Whether a broadcast arrives. It is sent until it does: a bridge drops frames while one of its ports comes up.
async fn heard(from: &mut dyn Guest, at: &mut dyn Guest, text: &str, within: Duration) -> Result<bool, TestFailure> {
    let deadline = Instant::now() + within;
    loop {
        from.shout(text).await?;
        if at.hears(text, GRACE).await? {
            return Ok(true);
        }
        if Instant::now() > deadline {
            return Ok(false);
        }
    }
}

/// A hub sends a frame back to its sender and a switch does not. The others hear it in both cases.
async fn echo(subject: Subject, net: Net) -> Result<(), TestFailure> {
    let traffic_ports = TrafficPorts::new(&subject, "echoes", vec![net.clone()]).await?;
    let soon = subject.traffic.timeout();
    let (mut first, mut second) = (traffic_ports.guest(&net, 0).await?, traffic_ports.guest(&net, 1).await?);
    ensure(heard(&mut *first, &mut *second, "to everyone", soon).await?, || "a broadcast does not arrive".to_owned())?;
    let promise = subject.capabilities(&net);
    let mut echoes = first.hears("to everyone", GRACE).await?;
    let deadline = Instant::now() + soon;
    while promise.lossy && promise.vm_to_vm == VmToVm::Hub && !echoes && Instant::now() < deadline {
        first.shout("to everyone").await?;
        echoes = first.hears("to everyone", GRACE).await?;
    }
    match promise.vm_to_vm {
        VmToVm::Hub => ensure(echoes, || {
            "the net is promised to be a hub, and does not send a frame back to its sender".to_owned()
        })?,
        _ => ensure(!echoes, || "the net is promised to be no hub, and sends a frame back to its sender".to_owned())?,
    }
    drop((first, second));
    traffic_ports.end().await
}

/// Each of many single frames arrives, although none is sent twice. The first frames are: a bridge drops what comes while a
/// port of it comes up.
async fn every_frame(subject: Subject, net: Net) -> Result<(), TestFailure> {
    let traffic_ports = TrafficPorts::new(&subject, "frames", vec![net.clone()]).await?;
    let soon = subject.traffic.timeout();
    let (mut first, mut second) = (traffic_ports.guest(&net, 0).await?, traffic_ports.guest(&net, 1).await?);
    ensure(heard(&mut *first, &mut *second, "to everyone", soon).await?, || {
        "a frame to everyone does not arrive".to_owned()
    })?;
    for number in 1..=SINGLE_FRAMES {
        let text = format!("single frame {number} of {SINGLE_FRAMES}");
        first.shout(&text).await?;
        ensure(second.hears(&text, soon).await?, || format!("{text} is lost"))?;
    }
    drop((first, second));
    traffic_ports.end().await
}

async fn no_vm_to_vm(subject: Subject, net: Net) -> Result<(), TestFailure> {
    let traffic_ports = TrafficPorts::new(&subject, "mute", vec![net.clone()]).await?;
    let (mut first, mut second) = (traffic_ports.guest(&net, 0).await?, traffic_ports.guest(&net, 1).await?);
    // A lossy net may lose one of them.
    for _ in 0..if subject.capabilities(&net).lossy { SINGLE_FRAMES } else { 1 } {
        first.shout("is anybody there").await?;
    }
    ensure(!second.hears("is anybody there", GRACE).await?, || "a node hears another one".to_owned())?;
    drop((first, second));
    traffic_ports.end().await
}

/// A frame is heard on its net, and on no other.
async fn two_nets(subject: Subject) -> Result<(), TestFailure> {
    let (nets, soon) = (joined(&subject), subject.traffic.timeout());
    let traffic_ports = TrafficPorts::new(&subject, "two-nets", nets.clone()).await?;
    for net in &nets {
        let mut speaker = traffic_ports.guest(net, 0).await?;
        let mut neighbour = traffic_ports.guest(net, 1).await?;
        for other in nets.iter().filter(|other| other.id != net.id) {
            let mut outsider = traffic_ports.last_guest(other).await?;
            let text = format!("from net {} not to net {}", net.id, other.id);
            ensure(heard(&mut *speaker, &mut *neighbour, &text, soon).await?, || {
                format!("net {} carries nothing", net.id)
            })?;
            ensure(!outsider.hears(&text, GRACE).await?, || format!("net {} hears net {}", other.id, net.id))?;
        }
    }
    traffic_ports.end().await
}

async fn two_clusters(subject: Subject, net: Net) -> Result<(), TestFailure> {
    let traffic_ports = TrafficPorts::new(&subject, "insiders", vec![net.clone()]).await?;
    let other = TrafficPorts::new(&subject, "outsiders", vec![net.clone()]).await?;
    let (mut speaker, mut neighbour) = (traffic_ports.guest(&net, 0).await?, traffic_ports.guest(&net, 1).await?);
    let mut outsider = other.last_guest(&net).await?;
    let soon = subject.traffic.timeout();
    ensure(heard(&mut *speaker, &mut *neighbour, "among us", soon).await?, || {
        "a broadcast does not arrive".to_owned()
    })?;
    ensure(!outsider.hears("among us", GRACE).await?, || "another cluster hears this one".to_owned())?;
    drop((speaker, neighbour, outsider));
    traffic_ports.end().await?;
    other.end().await
}

/// The host reaches every exposed port, and a node reaches the host at its address on the net.
async fn host_access(subject: Subject, net: Net) -> Result<(), TestFailure> {
    let traffic_ports = TrafficPorts::new(&subject, "hosted", vec![net.clone()]).await?;
    for node in 0..traffic_ports.ports_of(&net).count().min(2) {
        let (port, port_config) = traffic_ports.port(&net, node)?;
        let mut guest = traffic_ports.guest(&net, node).await?;
        for number in &port.expose {
            let host = traffic_ports.fixture.host();
            let answer = host.ask(&port_config.access, *number, pattern(BULK), subject.traffic.timeout()).await;
            let answer = answer.map_err(|failed| failed.during(format!("from the host to port {number}")))?;
            same_content(&pattern(BULK), &answer)?;
        }
        let host = HostEcho::start(traffic_ports.fixture.host())?;
        let to = [net.host_ipv4().into(), net.host_ipv6().into()];
        let asked = exchange(&mut *guest, to, net.mtu, host.tcp, host.udp).await;
        asked.map_err(|failed| failed.during("from a node to the host"))?;
    }
    traffic_ports.end().await
}
