//! Expectations about frames: they may fill the MTU, and their checksums and segments may be left to the data path.

use crate::plan::PlannedNic;

use super::fixture::{Fixture, addresses, node};

/// Headers of an echo request over IPv4 and over IPv6.
const HEADERS: [u16; 2] = [20 + 8, 40 + 8];

/// Checked in two ways: no node has fragmented or reassembled a packet, and the packet arrived with its whole size. Linux forbids
/// others to fragment such a packet (`DF`).
pub(super) async fn packets_that_fill_the_mtu_arrive(fixture: &Fixture<'_>) {
    let before = fragments(fixture).await;
    for nic in fixture.joined(1) {
        fill(fixture, nic).await;
    }
    assert_eq!(fragments(fixture).await, before, "packets were fragmented");
}

async fn fill(fixture: &Fixture<'_>, nic: &PlannedNic) {
    let (name, mtu) = (&nic.name, nic.port.net.mtu);
    assert_eq!(fixture.run(1, format!("cat /sys/class/net/{name}/mtu")).await, mtu.to_string(), "MTU of {name}");
    let mut seen = fixture.capture(2, &format!("-v -i {name} icmp or icmp6")).await;
    for (address, headers) in addresses(&nic.port.net, node(2)).into_iter().zip(HEADERS) {
        let ping = format!("ping -c1 -W3 -s {} {address}", mtu - headers);
        fixture.run(1, format!("{ping} || {ping}")).await;
    }
    seen.wait_for(&format!("flags [DF], proto ICMP (1), length {mtu}")).await;
    // The length of IPv6 does not include its header.
    seen.wait_for(&format!("length: {})", mtu - 40)).await;
}

/// How many fragments each node has sent or reassembled, in both IP versions.
async fn fragments(fixture: &Fixture<'_>) -> [String; 2] {
    let count = "awk '/^Ip: [0-9]/ { n += $15 + $18 + $20 } /^Ip6(ReasmReqds|FragOKs|FragCreates)/ { n += $2 } \
                 END { print n }' /proc/net/snmp /proc/net/snmp6";
    [fixture.run(1, count).await, fixture.run(2, count).await]
}

/// The bits of `VIRTIO_NET_F_CSUM` and `VIRTIO_NET_F_HOST_TSO4` (virtio specification) among the features that Linux shows as
/// agreed on by device and driver.
const FEATURES: [usize; 2] = [0, 11];

pub(super) async fn much_is_left_to_the_data_path(fixture: &Fixture<'_>) {
    for nic in fixture.nics(1).iter().filter(|nic| fixture.promise(&nic.port.net).offloads) {
        let agreed = fixture.run(1, format!("cat /sys/class/net/{}/device/features", nic.name)).await;
        for bit in FEATURES {
            assert_eq!(agreed.as_bytes().get(bit), Some(&b'1'), "bit {bit} of {} is not agreed: {agreed}", nic.name);
        }
    }
}
