//! The time to make the namespace, bridges and taps of a large cluster, and to remove them, against `ip` in a namespace of the same
//! kind: one process for all, and four processes for each tap.

use std::time::Instant;

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use tempfile::TempDir;
use xcluster_benches::{Report, in_rotation, ip, rounds_asked};
use xcluster_core::host::{HostLocks, Namespace, Store};
use xcluster_core::name::{ClusterName, NetId, NodeId};
use xcluster_core::net::{BackendContext, Net, NetBackend, Port};
use xcluster_net_bridge::{BridgeBackend, BridgeConfig, Vhost};
use xcluster_net_ovs::OvsBackend;

/// The most nodes that a cluster may have.
const NODES: u16 = 200;
/// The nets that each of them is on.
const NETS: [u8; 2] = [0, 1];

/// How the taps are made.
#[derive(Debug, Clone, Copy)]
enum Method {
    Xcluster,
    /// On an Open vSwitch of the cluster's own, which is started for it.
    Ovs,
    /// `ip -batch`, two lines for each tap.
    Batch,
    /// A script with four lines for each tap.
    Script,
}

/// Times in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Timing {
    made: f64,
    removed: f64,
}

/// One thread with a runtime, like a cluster's thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let rounds = rounds_asked(9)?;
    let mut report = Report::new("taps");
    let workload = Workload::all()?;
    let samples =
        in_rotation(rounds, &[Method::Xcluster, Method::Ovs, Method::Batch, Method::Script], async |method| {
            workload.by(method).await
        })
        .await?;
    let figures =
        |method: Method, figure: fn(&Timing) -> f64| samples[method as usize].iter().map(figure).collect::<Vec<_>>();
    for (what, figure) in [("made", (|took| took.made) as fn(&Timing) -> f64), ("removed", |took| took.removed)] {
        let row = |who: &str| format!("{} taps {what}, {who}", workload.ports.len());
        let [ours, ovs, batch, script] =
            [Method::Xcluster, Method::Ovs, Method::Batch, Method::Script].map(|method| figures(method, figure));
        report.row(row("xcluster"), "ms", ours.iter().copied());
        report.row(row("xcluster on Open vSwitch"), "ms", ovs.iter().copied());
        report.row(row("`ip -batch`"), "ms", batch.iter().copied());
        report.ratio("xcluster to `ip -batch`", &ours, &batch);
        if what == "made" {
            report.row(row("four `ip` each"), "ms", script.iter().copied());
            report.ratio("four `ip` each to xcluster", &script, &ours);
        }
    }
    report.print()
}

/// The nets, and the ports of each node.
struct Workload {
    nets: Vec<Net>,
    nodes: Vec<Vec<Port>>,
    ports: Vec<Port>,
}

impl Workload {
    fn all() -> Result<Self> {
        let nets: Vec<Net> = NETS.map(|net| Net::new(NetId::new(net))).into();
        let ports = |node| (0..).zip(&nets).map(|(nic, net)| Port::new(node, net.clone(), nic)).collect();
        let nodes = (1..=NODES).map(|node| Ok(ports(NodeId::new(node)?))).collect::<Result<Vec<Vec<_>>>>()?;
        Ok(Self { ports: nodes.concat(), nets, nodes })
    }

    async fn by(&self, method: Method) -> Result<Timing> {
        match method {
            Method::Xcluster => {
                let config = BridgeConfig::default().with_vhost(Vhost::Off);
                self.by_xcluster(&BridgeBackend::new(config), 0).await
            }
            // Its datapath is one more link.
            Method::Ovs => self.by_xcluster(&OvsBackend::default(), 1).await,
            Method::Batch => self.by_ip(ip::tap_in_short, |lines, namespace| ip::batch(&[], lines, namespace)),
            Method::Script => self.by_ip(ip::tap, ip::one_by_one),
        }
    }

    /// Calls the backend as a cluster does: nets one after the other, nodes at the same time, the NICs of a node in order. Besides
    /// bridges and taps, the backend makes `own_links` links.
    async fn by_xcluster(&self, backend: &dyn NetBackend, own_links: usize) -> Result<Timing> {
        // Every cluster has these.
        let (name, dir, host_locks, store) =
            (ClusterName::new("taps")?, TempDir::new()?, HostLocks::new(), Store::new());
        let begun = Instant::now();
        let namespace = Namespace::private()?;
        let context = BackendContext::new(&name, dir.path(), &host_locks, &store).in_namespace(&namespace);
        backend.preflight(&context, &self.nets, &self.ports).await?;
        for net in &self.nets {
            backend.create_net(&context, net).await?;
        }
        let of_node = async |ports: &Vec<Port>| {
            for port in ports {
                backend.setup(&context, port).await?;
            }
            anyhow::Ok(())
        };
        try_join_all(self.nodes.iter().map(of_node)).await?;
        let made = millis(begun);
        self.check(&namespace, own_links)?;
        let begun = Instant::now();
        for port in self.ports.iter().rev() {
            backend.teardown(&context, port).await?;
        }
        for net in self.nets.iter().rev() {
            backend.delete_net(&context, net).await?;
        }
        Ok(Timing { made, removed: millis(begun) })
    }

    fn by_ip(
        &self,
        tap: fn(&Port) -> Vec<String>,
        carry_out: impl Fn(&[String], &Namespace) -> Result<()>,
    ) -> Result<Timing> {
        let lines = self.nets.iter().flat_map(ip::bridge).chain(self.ports.iter().flat_map(tap)).collect::<Vec<_>>();
        let begun = Instant::now();
        let namespace = Namespace::private()?;
        carry_out(&lines, &namespace)?;
        let made = millis(begun);
        self.check(&namespace, 0)?;
        let names = self.ports.iter().map(ip::tap_name).chain(self.nets.iter().map(ip::bridge_name));
        let lines: Vec<String> = names.map(|name| ip::removal(&name)).collect();
        let begun = Instant::now();
        ip::batch(&[], &lines, &namespace)?;
        Ok(Timing { made, removed: millis(begun) })
    }

    fn check(&self, namespace: &Namespace, own_links: usize) -> Result<()> {
        let (links, workload) = (ip::count_links(namespace)?, 1 + self.nets.len() + self.ports.len() + own_links);
        ensure!(links == workload, "{links} links instead of {workload}");
        Ok(())
    }
}

fn millis(begun: Instant) -> f64 {
    begun.elapsed().as_secs_f64() * 1000.0
}
