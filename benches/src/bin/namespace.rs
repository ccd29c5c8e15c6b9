//! The time to make and end a network namespace, empty and with a bridge, against commands that do the same.
//!
//! It ends when its last descriptor is closed or its last process has ended; in each case, the kernel frees it some time later.

use std::process::Command;
use std::time::Instant;

use anyhow::{Result, ensure};
use nix::unistd::geteuid;
use tempfile::TempDir;
use xcluster_benches::{Report, in_rotation, rounds_asked};
use xcluster_core::host::{HostLocks, Namespace, Store};
use xcluster_core::name::{ClusterName, NetId};
use xcluster_core::net::{BackendContext, Net, NetBackend};
use xcluster_net_bridge::BridgeBackend;

/// How the namespace is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Xcluster,
    Unshare,
    /// `ip netns add` and `ip netns del`, which need root.
    Netns,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let rounds = rounds_asked(100)?;
    let mut report = Report::new("namespace");
    let mut methods = vec![Method::Xcluster, Method::Unshare];
    if geteuid().is_root() {
        methods.push(Method::Netns);
    } else {
        eprintln!("SKIPPED: `ip netns add` needs root");
    }
    for bridge in [false, true] {
        let samples = in_rotation(rounds, &methods, async |method| method.take(bridge).await).await?;
        let with = if bridge { "with a bridge" } else { "empty" };
        let ours = &samples[0];
        for (method, theirs) in methods.iter().zip(&samples) {
            report.row(format!("{}, {with}", method.spoken()), "ms", theirs.iter().copied());
            if *method != Method::Xcluster {
                report.ratio(format!("xcluster to {}", method.spoken()), ours, theirs);
            }
        }
    }
    report.print()
}

impl Method {
    const fn spoken(self) -> &'static str {
        match self {
            Self::Xcluster => "xcluster",
            Self::Unshare => "`unshare -Urn`",
            Self::Netns => "`ip netns add` and `del`",
        }
    }

    /// From its start to its end, in milliseconds.
    async fn take(self, bridge: bool) -> Result<f64> {
        // Every cluster has these.
        let (name, dir, host_locks, store) =
            (ClusterName::new("namespace")?, TempDir::new()?, HostLocks::new(), Store::new());
        let begun = Instant::now();
        match (self, bridge) {
            (Self::Xcluster, false) => drop(Namespace::private()?),
            (Self::Xcluster, true) => {
                let namespace = Namespace::private()?;
                make_bridge(&BackendContext::new(&name, dir.path(), &host_locks, &store).in_namespace(&namespace))
                    .await?;
                // The store has the backend's sockets in the namespace, and the host locks have the last ones.
                drop((store, host_locks, namespace));
            }
            (Self::Unshare, false) => run("unshare -Urn true")?,
            (Self::Unshare, true) => run("unshare -Urn ip link add xcbr1 up type bridge")?,
            (Self::Netns, bridge) => {
                let netns = format!("xcluster-bench-{}", std::process::id());
                run(&format!("ip netns add {netns}"))?;
                if bridge {
                    run(&format!("ip -n {netns} link add xcbr1 up type bridge"))?;
                }
                run(&format!("ip netns del {netns}"))?;
            }
        }
        Ok(begun.elapsed().as_secs_f64() * 1000.0)
    }
}

/// The calls of a cluster: they open a netlink socket and a tun, lock the net, and give its bridge addresses.
async fn make_bridge(context: &BackendContext<'_>) -> Result<()> {
    let (backend, net) = (BridgeBackend::default(), Net::new(NetId::new(1)));
    backend.preflight(context, std::slice::from_ref(&net), &[]).await?;
    Ok(backend.create_net(context, &net).await?)
}

fn run(line: &str) -> Result<()> {
    let mut args = line.split_whitespace();
    let mut command = Command::new(args.next().unwrap_or_default());
    let status = command.args(args).status()?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}
