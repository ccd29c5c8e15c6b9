//! TCP from one node to another over xcluster's bridge and taps, against an Open vSwitch of the cluster, against a bridge and taps that
//! root makes by hand, and against the multicast socket of the backend `user`. Each measurement boots the same guest anew.

use anyhow::{Context, Result, ensure};
use nix::unistd::geteuid;
use xcluster_benches::process::cpu_seconds;
use xcluster_benches::root_taps::RootTaps;
use xcluster_benches::{Report, cluster, in_rotation, rounds_asked};
use xcluster_core::guest::exec::{Event, Execution};
use xcluster_core::name::NetId;
use xcluster_core::net::{Net, Port};
use xcluster_core::{Builder, Cluster, Node};
use xcluster_net_bridge::BridgeBackend;
use xcluster_net_ovs::OvsBackend;
use xcluster_net_user::UserBackend;

/// The net between the nodes. The host is not on it.
const NET: NetId = NetId::new(1);
/// How long to send, in seconds: TCP reaches its rate in a small part of that.
const SECONDS: u8 = 10;

/// What carries the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Xcluster,
    Ovs,
    RootTaps,
    Multicast,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
struct Rate {
    mbit_per_s: f64,
    retransmits: f64,
    /// For each second of CPU time of the two QEMUs: other work of the machine changes it less. A switch in user space is not
    /// included.
    mbit_per_cpu_s: f64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let rounds = rounds_asked(5)?;
    let mut report = Report::new("throughput");
    let mut methods = vec![Method::Xcluster, Method::Ovs, Method::Multicast];
    if geteuid().is_root() {
        methods.push(Method::RootTaps);
    } else {
        eprintln!("SKIPPED: taps that root made need root");
    }
    let samples = in_rotation(rounds, &methods, async |method| method.measure().await).await?;
    let figures = |samples: &[Rate], figure: fn(&Rate) -> f64| samples.iter().map(figure).collect::<Vec<_>>();
    let speeds = [
        ("", "Mbit/s", (|rate| rate.mbit_per_s) as fn(&Rate) -> f64),
        (" by CPU", "Mbit/CPU s", |rate| rate.mbit_per_cpu_s),
    ];
    for (method, theirs) in methods.iter().zip(&samples) {
        for (what, unit, figure) in speeds {
            report.row(format!("{}{what}", method.spoken()), unit, figures(theirs, figure));
            if *method != Method::Xcluster {
                let (ours, theirs) = (figures(&samples[0], figure), figures(theirs, figure));
                report.ratio(format!("xcluster's taps to {}{what}", method.spoken()), &ours, &theirs);
            }
        }
        report.row(format!("{}: retransmits", method.spoken()), "", figures(theirs, |rate| rate.retransmits));
    }
    report.print()
}

impl Method {
    const fn spoken(self) -> &'static str {
        match self {
            Self::Xcluster => "xcluster's taps",
            Self::Ovs => "Open vSwitch of one's own",
            Self::RootTaps => "root's taps",
            Self::Multicast => "multicast socket",
        }
    }

    fn builder(self) -> Result<Builder> {
        let builder = Cluster::builder().nodes(2);
        Ok(match self {
            Self::Xcluster => builder.backend(BridgeBackend::default()),
            Self::Ovs => builder.backend(OvsBackend::default()),
            Self::RootTaps => builder.backend(RootTaps::new()?),
            Self::Multicast => builder.backend(UserBackend::default()),
        })
    }

    async fn measure(self) -> Result<Rate> {
        let (cluster, qemus) = cluster::start(self.builder()?).await?;
        let rate = rate(&cluster, &qemus).await.with_context(|| self.spoken())?;
        cluster.stop().await?;
        eprintln!("{}: {:.0} Mbit/s", self.spoken(), rate.mbit_per_s);
        Ok(rate)
    }
}

async fn rate(cluster: &Cluster, qemus: &[u32]) -> Result<Rate> {
    let (client, server) = (cluster.node(1)?, cluster.node(2)?);
    // The guest unpacks iperf3 at its first use.
    client.exec("iperf3 --version").await?.ok()?;
    let serving = serve(&server).await?;
    let to = Port::new(server.id(), Net::new(NET), 1).ipv4();
    let cpu = || qemus.iter().map(|pid| cpu_seconds(*pid)).sum::<Result<f64>>();
    let before = cpu()?;
    let said = client.exec(format!("iperf3 --client {to} --time {SECONDS} --json").as_str()).await?.ok()?;
    let cpu = cpu()? - before;
    serving.output().await?.ok()?;
    let said: serde_json::Value = serde_json::from_slice(&said.stdout)?;
    let number = |path: &str| said.pointer(path).and_then(serde_json::Value::as_f64).with_context(|| path.to_owned());
    Ok(Rate {
        mbit_per_s: number("/end/sum_received/bits_per_second")? / 1e6,
        mbit_per_cpu_s: number("/end/sum_received/bytes")? * 8.0 / 1e6 / cpu,
        retransmits: number("/end/sum_sent/retransmits")?,
    })
}

/// Starts a server for one client, and waits until it listens.
async fn serve(node: &Node) -> Result<Execution> {
    let mut serving = node.spawn("iperf3 --server --one-off --forceflush").await?;
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("listening") {
        match serving.next().await?.context("the server has ended")? {
            Event::Stdout(bytes) | Event::Stderr(bytes) => said.extend(bytes),
            other => ensure!(!matches!(other, Event::Exited(_)), "{}", String::from_utf8_lossy(&said)),
        }
    }
    Ok(serving)
}
