//! The same clusters without a runtime, in an ordinary `#[test]`: a command on all nodes at once, a packet capture on one
//! node while another one pings, files in and out, a node that is started again.

use xcluster_core::blocking::Cluster;
use xcluster_core::plan::NodeBoot;
use xcluster_net_user::UserBackend;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What a capture file begins with, as a little-endian machine writes it (pcap-savefile(5)).
const PCAP: [u8; 4] = [0xd4, 0xc3, 0xb2, 0xa1];

#[test]
fn threads_serve_where_there_is_no_runtime() -> Result<()> {
    let builder = xcluster_core::Cluster::builder().backend(UserBackend::default()).nodes(2);
    let cluster = Cluster::start(builder)?;

    // Results come in the order of the nodes, each with its own outcome.
    let mut names = Vec::new();
    for output in cluster.exec_on([1, 2], "hostname") {
        names.push(output?.ok()?.text().into_owned());
    }
    assert_eq!(names, ["vm-001", "vm-002"]);

    // The handles may be used from several threads: one waits for packets, the other one sends them.
    let (first, second) = (cluster.node(1)?, cluster.node(2)?);
    std::thread::scope(|scope| -> Result<()> {
        let capture = scope.spawn(|| second.exec("timeout 60 tcpdump -i eth1 -c 4 -w /tmp/pings.pcap icmp"));
        first.exec("ping -c 10 192.168.1.2")?.ok()?;
        capture.join().map_err(|_| "the capturing thread panicked")??.ok()?;
        Ok(())
    })?;

    // The capture is a file like any other, here and in the nodes.
    let folder = tempfile::tempdir()?;
    second.copy_from("/tmp/pings.pcap", folder.path())?;
    let capture = std::fs::read(folder.path().join("pings.pcap"))?;
    assert!(capture.starts_with(&PCAP), "{} bytes", capture.len());
    first.copy_to(folder.path().join("pings.pcap"), "/root/")?;
    let listed = first.exec("tcpdump -n -r /root/pings.pcap")?.ok()?;
    assert!(listed.text().contains("192.168.1.1 > 192.168.1.2: ICMP echo request"), "{}", listed.text());

    // One node ends and comes back with more memory; what it wrote is gone.
    first.stop()?;
    let first = cluster.boot(NodeBoot::new(first.id()).memory(192))?;
    first.exec("test ! -e /root/pings.pcap")?.ok()?;
    Ok(cluster.stop()?)
}
