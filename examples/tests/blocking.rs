//! Clusters without an async runtime, in a plain `#[test]`: a command on all nodes at once, a packet capture on one node
//! while another one pings, copies of files to and from nodes, a node that is booted again.

use xcluster_core::blocking::Cluster;
use xcluster_core::plan::NodeBoot;
use xcluster_net_user::UserBackend;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What a capture file begins with, as a little-endian machine writes it (pcap-savefile(5)).
const PCAP: [u8; 4] = [0xd4, 0xc3, 0xb2, 0xa1];

#[test]
fn a_cluster_is_used_from_threads_without_a_runtime() -> Result<()> {
    let builder = xcluster_core::Cluster::builder().backend(UserBackend::default()).nodes(2);
    Cluster::test(builder, |cluster| {
        // Each node has a result of its own; they come in the order of the nodes.
        let mut names = Vec::new();
        for output in cluster.exec_on([1, 2], "hostname") {
            names.push(output?.ok()?.text().into_owned());
        }
        assert_eq!(names, ["vm-001", "vm-002"]);

        // Handles work in several threads: one thread captures packets, the other one sends them.
        let (first, second) = (cluster.node(1)?, cluster.node(2)?);
        std::thread::scope(|scope| -> Result<()> {
            let capture = scope.spawn(|| second.exec("timeout 60 tcpdump -i eth1 -c 4 -w /tmp/pings.pcap icmp"));
            first.exec("ping -c 10 192.168.1.2")?.ok()?;
            capture.join().map_err(|_| "the capturing thread panicked")??.ok()?;
            Ok(())
        })?;

        // The capture is copied to this host, and from here to the other node.
        let folder = tempfile::tempdir()?;
        second.copy_from("/tmp/pings.pcap", folder.path())?;
        let capture = std::fs::read(folder.path().join("pings.pcap"))?;
        assert!(capture.starts_with(&PCAP), "{} bytes", capture.len());
        first.copy_to(folder.path().join("pings.pcap"), "/root/")?;
        let listed = first.exec("tcpdump -n -r /root/pings.pcap")?.ok()?;
        assert!(listed.text().contains("192.168.1.1 > 192.168.1.2: ICMP echo request"), "{}", listed.text());

        // A node that is stopped and booted again, with more memory, has lost what it wrote.
        first.stop()?;
        let first = cluster.boot(NodeBoot::new(first.id()).memory(192))?;
        first.exec("test ! -e /root/pings.pcap")?.ok()?;
        Ok(())
    })
}
