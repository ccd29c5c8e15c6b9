//! `forward`: forwards ports of this host to nodes while it runs.

mod spec;

use std::io::{self, Write, stderr};
use std::net::SocketAddr;
use std::time::Duration;

use futures::future::select_all;
use serde::Serialize;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use xcluster_core::name::NodeId;
use xcluster_core::{Cluster, ClusterStatus, Error, Node};

use super::select::{attach, connect, one};
use crate::args::ForwardArgs;
use crate::exit::Exit;
use crate::output::{print, print_json};
use crate::report::{Failure, Outcome};
use crate::variables::Variables;

/// The pause after a failed accept.
const AGAIN: Duration = Duration::from_millis(100);

/// Listens until Ctrl-C or the end of the cluster.
pub(super) async fn run(args: &ForwardArgs, variables: &Variables) -> Outcome {
    let specs = spec::read(&args.forwards)?;
    let cluster = attach(&args.name, variables).await?;
    let status = cluster.status().await?;
    let mut listeners = Vec::new();
    for spec in &specs {
        listeners.push(LocalListener::open(spec, &status).await?);
    }
    show(&listeners, args.json.json)?;
    let serving = select_all(listeners.iter().map(|listener| Box::pin(listener.serve(&cluster))));
    tokio::select! {
        (never, ..) = serving => match never {},
        ended = cluster.wait() => {
            ended?;
            Err(Failure::new(Exit::ABSENT, format!("cluster `{}` has ended", status.name)))
        }
        interrupted = interrupted() => interrupted.map(|()| Exit::OK).map_err(|error| Failure::io("watch signals", &error)),
    }
}

async fn interrupted() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// A port of this host that leads to a port of a node.
#[derive(Debug)]
struct LocalListener {
    listener: TcpListener,
    listen: SocketAddr,
    node: NodeId,
    port: u16,
}

/// A listener as `--json` prints it.
#[derive(Debug, Serialize)]
struct Row {
    listen: SocketAddr,
    node: NodeId,
    port: u16,
}

impl LocalListener {
    async fn open(spec: &spec::Spec, status: &ClusterStatus) -> Result<Self, Failure> {
        let node = one(&spec.node, status)?.id;
        let refused = |error: io::Error| {
            let failure = Failure::io(format!("listen on {}", spec.listen), &error);
            match error.kind() {
                io::ErrorKind::AddrInUse => failure.with_exit(Exit::IN_USE).hint("port 0 picks a free port"),
                _ => failure,
            }
        };
        let listener = TcpListener::bind(spec.listen).await.map_err(refused)?;
        let listen = listener.local_addr().map_err(refused)?;
        Ok(Self { listener, listen, node, port: spec.port })
    }

    /// Connects every client. A failure is reported, and the listener continues.
    async fn serve(&self, cluster: &Cluster) -> std::convert::Infallible {
        loop {
            match self.listener.accept().await {
                Ok((stream, from)) => {
                    let (node, port) = (cluster.node(self.node), self.port);
                    tokio::spawn(async move {
                        if let Err(failure) = join(stream, node, port).await {
                            failure.context(format!("cannot connect {from}")).print();
                        }
                    });
                }
                Err(error) => {
                    // Probably out of descriptors. No event reports when some are free again.
                    Failure::io(format!("accept a connection on {}", self.listen), &error).print();
                    sleep(AGAIN).await;
                }
            }
        }
    }
}

async fn join(mut here: TcpStream, node: Result<Node, Error>, port: u16) -> Result<(), Failure> {
    let mut there = connect(&node?, port).await?;
    // A reset by either side ends the connection like a normal end.
    let _ = copy_bidirectional(&mut here, &mut there).await;
    Ok(())
}

fn show(listeners: &[LocalListener], json: bool) -> Result<(), Failure> {
    if json {
        let rows =
            listeners.iter().map(|listener| Row { listen: listener.listen, node: listener.node, port: listener.port });
        return print_json(&rows.collect::<Vec<_>>());
    }
    let lines = listeners
        .iter()
        .map(|listener| format!("{} leads to port {} of {}\n", listener.listen, listener.port, listener.node));
    print(&lines.collect::<String>())?;
    // A closed standard error is ignored.
    let _ = writeln!(stderr(), "Ctrl-C stops forwarding.");
    Ok(())
}
