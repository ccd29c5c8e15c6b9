//! Frames that a bridge must forward, sent and received on the taps themselves, without QEMU.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, poll};
use nix::unistd::{read, write};
use xcluster_core::host::Netns;
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{Net, NetBackend, Port};
use xcluster_core::testing::{TestContext, TestFailure, ensure};
use xcluster_net_bridge::BridgeBackend;

xcluster_core::harness![
    lldp_passes,
    other_link_local_frames_are_not_forwarded,
    tagged_frames_pass_with_their_tag,
    jumbo_frames_pass_whole,
    a_large_segment_passes_in_one_piece,
];

/// `struct virtio_net_hdr` in its first version. A tap has it before each frame.
const HEADER: usize = 10;
/// The deadline of a frame in milliseconds, far longer than any takes.
const SOON: u16 = 20_000;

/// Two taps on one bridge.
struct Pair {
    _stage: TestContext,
    first: Tap,
    second: Tap,
}

impl Pair {
    async fn new(mtu: u16) -> Result<Self, TestFailure> {
        let (test_context, backend) = (TestContext::in_netns("frames", &Netns::Private)?, BridgeBackend::default());
        let mut net = Net::new(NetId::CLUSTER);
        net.mtu = mtu;
        let ports = [Port::new(NodeId::new(1)?, net.clone(), 0), Port::new(NodeId::new(2)?, net.clone(), 0)];
        backend.preflight(&test_context.context(), std::slice::from_ref(&net), &ports).await?;
        backend.create_net(&test_context.context(), &net).await?;
        let mut taps = Vec::new();
        for port in &ports {
            let port_config = backend.setup(&test_context.context(), port).await?;
            let tap = port_config.kvm.descriptors().get("tap1").ok_or_else(|| TestFailure::new("there is no tap"))?;
            taps.push(Tap::new(tap)?);
        }
        let second = taps.pop().ok_or_else(|| TestFailure::new("no second tap"))?;
        let first = taps.pop().ok_or_else(|| TestFailure::new("no first tap"))?;
        Ok(Self { _stage: test_context, first, second })
    }

    /// A frame with this header for offloads arrives unchanged.
    fn check(&self, header: &[u8; HEADER], frame: &[u8]) -> Result<(), TestFailure> {
        self.first.send(header, frame)?;
        self.second.wait_for(frame)
    }
}

/// The descriptor that QEMU would have.
struct Tap(OwnedFd);

impl Tap {
    fn new(tap: &OwnedFd) -> Result<Self, TestFailure> {
        Ok(Self(tap.try_clone()?))
    }

    fn send(&self, header: &[u8; HEADER], frame: &[u8]) -> Result<(), TestFailure> {
        write(&self.0, &[&header[..], frame].concat())?;
        Ok(())
    }

    /// The next frame from any sender: the host's end of the bridge sends some to find its neighbours.
    fn receive(&self) -> Result<Vec<u8>, TestFailure> {
        let ready = poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], SOON)?;
        ensure(ready == 1, || "no frame came in time".to_owned())?;
        let mut room = vec![0; 128 * 1024];
        let length = read(&self.0, &mut room)?;
        ensure(length > HEADER, || format!("{length} bytes are no frame"))?;
        Ok(room[HEADER..length].to_vec())
    }

    fn wait_for(&self, frame: &[u8]) -> Result<(), TestFailure> {
        loop {
            let received = self.receive()?;
            if received.get(6..12) == frame.get(6..12) {
                return ensure(received == frame, || {
                    let head = received.iter().take(32).collect::<Vec<_>>();
                    format!("{} bytes came out of {}, beginning {head:02x?}", received.len(), frame.len())
                });
            }
        }
    }
}

/// A frame from node 1.
fn frame(to: [u8; 6], kind: &[u8], length: usize) -> Vec<u8> {
    let mut frame = [&to[..], &[0, 0, 0, 1, 1, 1], kind].concat();
    let head = frame.len();
    frame.extend((head..length).map(|index| index as u8));
    frame
}

const EVERYONE: [u8; 6] = [0xff; 6];
const PLAIN: [u8; HEADER] = [0; HEADER];
/// IEEE 802 Local Experimental Ethertype 1.
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];

async fn lldp_passes() -> Result<(), TestFailure> {
    let pair = Pair::new(1500).await?;
    pair.check(&PLAIN, &frame([0x01, 0x80, 0xc2, 0, 0, 0x0e], &[0x88, 0xcc], 100))
}

/// Spanning-tree frames are not forwarded: no bridge here uses them, and the host must not receive them.
async fn other_link_local_frames_are_not_forwarded() -> Result<(), TestFailure> {
    let pair = Pair::new(1500).await?;
    let pause = frame([0x01, 0x80, 0xc2, 0, 0, 0x01], &[0x88, 0x08], 60);
    pair.first.send(&PLAIN, &pause)?;
    // Both take the same path, so this one would have arrived second.
    pair.check(&PLAIN, &frame(EVERYONE, &EXPERIMENT, 60))
}

async fn tagged_frames_pass_with_their_tag() -> Result<(), TestFailure> {
    let pair = Pair::new(1500).await?;
    for tag in [100_u16, 4094] {
        let [high, low] = tag.to_be_bytes();
        pair.check(&PLAIN, &frame(EVERYONE, &[&[0x81, 0, high, low], &EXPERIMENT[..]].concat(), 118))?;
    }
    // A tag does not count as payload.
    pair.check(&PLAIN, &frame(EVERYONE, &[&[0x81, 0, 0, 7], &EXPERIMENT[..]].concat(), 1500 + 14 + 4))
}

async fn jumbo_frames_pass_whole() -> Result<(), TestFailure> {
    for mtu in [9000, BridgeBackend::MTU_MAX] {
        let pair = Pair::new(mtu).await?;
        pair.check(&PLAIN, &frame(EVERYONE, &EXPERIMENT, usize::from(mtu) + 14))?;
    }
    Ok(())
}

/// With offloads, a guest sends up to 64 KiB of TCP at once, and another guest receives them so.
async fn a_large_segment_passes_in_one_piece() -> Result<(), TestFailure> {
    let pair = Pair::new(1500).await?;
    pair.second.take_segments()?;
    let segment = tcp_segment(30_000);
    // VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, headers, segment size, start and offset of the checksum.
    let fields = [54_u16, 1460, 34, 16].map(u16::to_ne_bytes).concat();
    let mut header = [0; HEADER];
    header[..2].copy_from_slice(&[1, 1]);
    header[2..].copy_from_slice(&fields);
    pair.check(&header, &segment)
}

nix::ioctl_write_int_bad!(
    /// `TUNSETOFFLOAD` of linux/if_tun.h.
    tun_set_offload,
    nix::request_code_write!(b'T', 208, size_of::<nix::libc::c_uint>())
);

impl Tap {
    /// As QEMU sets them for a guest with offloads: `TUN_F_CSUM` and `TUN_F_TSO4`.
    fn take_segments(&self) -> Result<(), TestFailure> {
        // SAFETY: the descriptor is open, and the request takes a number.
        unsafe { tun_set_offload(self.0.as_raw_fd(), 1 | 2) }?;
        Ok(())
    }
}

/// TCP over IPv4 from node 1 to node 2, with a partial checksum.
fn tcp_segment(payload: u16) -> Vec<u8> {
    let length = 40 + payload;
    let (from, to) = ([192_u8, 168, 1, 1], [192_u8, 168, 1, 2]);
    let mut ip = vec![0x45, 0];
    ip.extend(length.to_be_bytes());
    ip.extend([0, 1, 0x40, 0, 64, 6, 0, 0]);
    ip.extend(from);
    ip.extend(to);
    let checksum = !sum(&ip);
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    let pseudo = [&from[..], &to, &[0, 6], &(20 + payload).to_be_bytes()].concat();
    let mut tcp = vec![0x9c, 0x40, 0x9c, 0x41, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff];
    tcp.extend(sum(&pseudo).to_be_bytes());
    tcp.extend([0, 0]);
    let head = [&[0, 0, 0, 1, 1, 2][..], &[0, 0, 0, 1, 1, 1], &[8, 0]].concat();
    [head, ip, tcp, (0..payload).map(|index| index as u8).collect()].concat()
}

/// The sum of RFC 1071, not complemented.
fn sum(bytes: &[u8]) -> u16 {
    let halfwords = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = halfwords.sum();
    ((sum & 0xffff) + (sum >> 16)) as u16
}
