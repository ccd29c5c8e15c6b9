//! Private namespaces, seen from outside: many at once, in a process with threads.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Barrier;
use xcluster_core::host::Netns;
use xcluster_core::name::{NetId, NodeId};
use xcluster_core::net::{Net, NetBackend, Port};
use xcluster_core::testing::cluster_harness::is_usable;
use xcluster_core::testing::{TestContext, TestFailure};
use xcluster_net_bridge::BridgeBackend;

const CLUSTERS: usize = 20;
const TAPS: u16 = 10;

/// The kernel's objects of this process: the links that it sees, and its descriptors by kind.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    links: BTreeSet<String>,
    taps: usize,
    namespaces: usize,
}

fn look() -> Seen {
    let links = std::fs::read_to_string("/proc/self/net/dev").unwrap();
    let links = links.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let open: Vec<String> =
        open.filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.to_str()?.to_owned())).collect();
    let count = |what: &str| open.iter().filter(|target| target.starts_with(what)).count();
    Seen { links, taps: count("/dev/net/tun"), namespaces: count("net:[") }
}

/// A cluster whose taps exist at the same time as those of the others.
async fn cluster(number: usize, together: Arc<Barrier>) -> Result<(), TestFailure> {
    let test_context = TestContext::in_netns(&format!("private-{number}"), &Netns::Private)?;
    let (backend, net) = (BridgeBackend::default(), Net::new(NetId::CLUSTER));
    let nodes = (1..=TAPS).map(NodeId::new).collect::<Result<Vec<_>, _>>()?;
    let ports: Vec<Port> = nodes.iter().map(|node| Port::new(*node, net.clone(), 0)).collect();
    let made = async {
        backend.preflight(&test_context.context(), std::slice::from_ref(&net), &ports).await?;
        backend.create_net(&test_context.context(), &net).await?;
        for port in &ports {
            backend.setup(&test_context.context(), port).await?;
        }
        Ok::<(), TestFailure>(())
    };
    let made = made.await;
    // A failure must not keep the others waiting.
    together.wait().await;
    together.wait().await;
    made
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_clusters_with_ten_taps_each_leave_nothing() {
    let before = look();
    if !is_usable(&BridgeBackend::default()) {
        return;
    }
    assert_eq!(look(), before, "to ask whether it is usable leaves something");
    let together = Arc::new(Barrier::new(CLUSTERS + 1));
    let clusters: Vec<_> = (0..CLUSTERS).map(|number| tokio::spawn(cluster(number, Arc::clone(&together)))).collect();
    together.wait().await;
    let during = look();
    together.wait().await;
    for cluster in clusters {
        cluster.await.unwrap().unwrap();
    }
    assert_eq!(during.links, before.links, "a link came into the main namespace");
    assert_eq!(during.namespaces, before.namespaces + CLUSTERS);
    assert!(during.taps >= CLUSTERS * usize::from(TAPS), "only {} taps were there", during.taps);
    assert_eq!(look(), before);
}
